"""From the command to the result: wall time of `predict bundled` on a clip of 8 frames, and of the import within it.

    python benchmarks/start.py                                   # second calls, and how long the import takes
    python benchmarks/start.py --against ../before/src           # beside another tree, in turns
    python benchmarks/start.py --first                           # also first calls, with nothing compiled yet

A second call finds compiled code and bytecode kept, as every call but the first does. Processes of both trees take
turns; seconds of the clock and processor seconds of whole processes, minimum and median.
"""

import argparse
import os
import subprocess
import sys
import tempfile
import time
from fractions import Fraction
from pathlib import Path
from statistics import median

from maskreel.rendered.dials import SyntheticDials
from maskreel.rendered.synthetic import render_video
from maskreel.visualize.video import TimedImage, write_video

SOURCE = Path(__file__).parents[1] / "src"
FRAMES, SIZE = 8, (360, 640)


def main() -> None:
    parser = argparse.ArgumentParser(description="Wall time of predict on a clip of 8 frames, and of its import.")
    parser.add_argument("--turns", type=int, default=5)
    parser.add_argument("--against", type=Path, default=None, help="src folder of another tree")
    parser.add_argument("--first", action="store_true", help="also first calls, one of each tree")
    args = parser.parse_args()
    trees = {"this": SOURCE} | ({"other": args.against.resolve()} if args.against else {})
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        shown = render_video(0, 0, SyntheticDials(frames=FRAMES, height=SIZE[0], width=SIZE[1])).frames
        images = (TimedImage(index / 30, picture) for index, picture in enumerate(shown))
        write_video(folder / "clip.mp4", images, frame_rate=Fraction(30))
        commands = {
            "predict": ["-m", "maskreel.cli.main", "predict", "bundled", "clip.mp4", "--quiet", "--out"],
            "import": ["-c", "import maskreel.cli.predict"],
            "import torch": ["-c", "import torch"],
        }
        for tree, source in trees.items() if args.first else ():
            print(f"{tree}, first call: {call(commands['predict'], source, folder, f'{tree}-first')[0]:.2f} s")
        times: dict[tuple[str, str], list[tuple[float, float]]] = {}
        for turn in range(args.turns + 1):
            for what, words in commands.items():
                for tree, source in trees.items():
                    taken = call(words, source, folder, tree)
                    if turn:
                        times.setdefault((tree, what), []).append(taken)
    for (tree, what), taken in times.items():
        wall, cpu = ([pair[kind] for pair in taken] for kind in (0, 1))
        print(f"{tree}, {what}: wall min {min(wall):.2f} s, median {median(wall):.2f} s; processor {min(cpu):.2f} s")


def call(words: list[str], source: Path, folder: Path, tree: str) -> tuple[float, float]:
    """Seconds of the clock and of processors of one process; compiled code and bytecode are kept per `tree`."""
    kept = {"XDG_CACHE_HOME": str(folder / f"cache-{tree}"), "PYTHONPYCACHEPREFIX": str(folder / f"bytecode-{tree}")}
    environment = {key: value for key, value in os.environ.items() if key != "PYTHONDONTWRITEBYTECODE"}
    if words[-1] == "--out":
        words = [*words, tempfile.mkdtemp(dir=folder)]
    begun = time.perf_counter()
    process = subprocess.Popen(
        [sys.executable, *words], cwd=folder, env=environment | kept | {"PYTHONPATH": str(source)}
    )
    _, status, usage = os.wait4(process.pid, 0)
    taken = time.perf_counter() - begun
    if status:
        raise SystemExit(f"{' '.join(words)} failed")
    return taken, usage.ru_utime + usage.ru_stime


if __name__ == "__main__":
    main()
