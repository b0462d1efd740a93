"""A live stream that lasts: `python benchmarks/paced_stream.py [--minutes 10]`.

An mpeg-ts stream of 30 frames a second is sent over tcp on this machine, in real time, to `maskreel predict` in a
process of its own. Printed every minute, as JSON: memory of the process, frames sent, lines written, and the delay of
the newest line. At the end every frame has to be shown or listed as dropped, memory has to be within 5 %
of what it was after a fifth of the time, and the delay must not grow (last fifth against second fifth); the exit code
says whether. A check for the night, not for every change.
"""

import argparse
import json
import socket
import subprocess
import sys
import tempfile
import threading
import time
from fractions import Fraction
from pathlib import Path

import av
import numpy as np

from maskreel.geometry.masklets import Masklets
from maskreel.rendered.dials import SyntheticDials
from maskreel.rendered.synthetic import render_video

RATE = 30
PERIOD = 60


def main() -> None:
    parser = argparse.ArgumentParser(description="Memory, accounts and delay of a paced stream.")
    parser.add_argument("--minutes", type=float, default=10.0)
    parser.add_argument("--run", default="bundled")
    args = parser.parse_args()
    count = round(60 * RATE * args.minutes)
    with tempfile.TemporaryDirectory() as name:
        sys.exit(0 if watch(args.run, count, Path(name)) else 1)


def watch(run: str, count: int, folder: Path) -> bool:
    listener = socket.create_server(("127.0.0.1", 0))
    clock = Clock()
    threading.Thread(target=send, args=(listener, count, clock), daemon=True).start()
    address = f"tcp://127.0.0.1:{listener.getsockname()[1]}"
    words = ["predict", run, address, "--out", str(folder), "--jsonl", "--no-overlay", "--quiet"]
    process = subprocess.Popen([sys.executable, "-m", "maskreel.cli.main", *words])
    samples: list[tuple[float, float, float]] = []
    """(seconds, MiB, delay of the newest line)."""
    lines, next_report = 0, 60.0
    with_lines = None
    while process.poll() is None:
        time.sleep(0.2)
        with_lines = with_lines or next(iter(folder.glob("*.jsonl")), None)
        if with_lines is None or clock.begun is None:
            continue
        now = time.monotonic() - clock.begun
        newest, lines = last_line(with_lines, lines)
        if newest is not None and now < count / RATE:
            samples.append((now, resident(process.pid), now - newest))
        if now >= next_report and samples:
            report = {"minute": round(now / 60, 1), "mib": round(samples[-1][1]), "sent": min(count, round(now * RATE))}
            print(json.dumps(report | {"lines": lines, "delay": round(samples[-1][2], 2)}), flush=True)
            next_report += 60
    return verdict(samples, count, folder, process.returncode)


def verdict(samples: list[tuple[float, float, float]], count: int, folder: Path, code: int) -> bool:
    if code or not samples:
        return False
    seconds = np.array(samples)
    early = seconds[(seconds[:, 0] > 0.2 * samples[-1][0]) & (seconds[:, 0] < 0.4 * samples[-1][0])]
    late = seconds[seconds[:, 0] > 0.8 * samples[-1][0]]
    result = Masklets.load(next(path for path in folder.glob("*.json") if path.name != "written.json"))
    is_whole = result.decoded + result.num_skipped == count
    growth = float(np.median(late[:, 1]) / np.median(early[:, 1]) - 1)
    delays = float(np.median(early[:, 2])), float(np.median(late[:, 2]))
    report = {"sent": count, "shown": result.decoded, "dropped": result.num_skipped, "all accounted for": is_whole}
    report |= {"memory growth": round(growth, 3), "delay early, late": [round(delay, 3) for delay in delays]}
    print(json.dumps(report))
    return is_whole and growth < 0.05 and delays[1] < 2 * delays[0] + 0.2


class Clock:
    """When the first frame was sent."""

    begun: float | None = None


def send(listener: socket.socket, count: int, clock: Clock) -> None:
    """Encode and send `count` frames to the first who connects, each when it is due."""
    shown = render_video(0, 0, SyntheticDials(frames=PERIOD)).frames
    connection, _ = listener.accept()
    listener.close()
    with (
        connection,
        connection.makefile("wb", buffering=0) as file,
        av.open(file, "w", format="mpegts", options={"flush_packets": "1", "max_delay": "0"}) as container,
    ):
        stream = container.add_stream("libx264", rate=RATE, options={"tune": "zerolatency", "preset": "ultrafast"})
        assert isinstance(stream, av.VideoStream)
        stream.height, stream.width, stream.pix_fmt, stream.gop_size = *shown.shape[1:3], "yuv420p", RATE
        clock.begun = time.monotonic()
        for index in range(count):
            time.sleep(max(0.0, clock.begun + index / RATE - time.monotonic()))
            frame = av.VideoFrame.from_ndarray(shown[index % PERIOD], format="rgb24")
            frame.pts, frame.time_base = index, Fraction(1, RATE)
            container.mux(stream.encode(frame))
        container.mux(stream.encode())


def last_line(path: Path, lines: int) -> tuple[float | None, int]:
    """Time of the newest frame that has a line, from the first frame on, and the number of lines."""
    content = path.read_bytes().splitlines() if lines < 2 else _tail(path)
    whole = [json.loads(line) for line in content if line.endswith(b"}")]
    if not whole:
        return None, 0
    first = _first_time(path)
    return whole[-1]["time"] - first, whole[-1]["index"] + 1


def _tail(path: Path) -> list[bytes]:
    with path.open("rb") as file:
        file.seek(max(0, path.stat().st_size - 65536))
        return file.read().splitlines()[1:]


def _first_time(path: Path) -> float:
    with path.open("rb") as file:
        return json.loads(file.readline())["time"]


def resident(pid: int) -> float:
    """MiB of a process."""
    status = Path(f"/proc/{pid}/status").read_text()
    return next(int(line.split()[1]) for line in status.splitlines() if line.startswith("VmRSS")) / 1024


if __name__ == "__main__":
    main()
