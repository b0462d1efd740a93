"""What it costs a process to get at compiled code: `python benchmarks/start_of_compiled_code.py [--pairs 9]`.

Decodes and intersects two small masks, as `maskreel score` does first of all: with the object code that
`maskreel.kernels.compiled` keeps, and with the same loops under numba's own cache (`njit(cache=True)`). Both caches are
warm and lie in a temporary folder; the processes take turns, so that a busy machine hits both alike. Processor seconds
of whole processes, the median of all pairs.
"""

import argparse
import os
import statistics
import subprocess
import sys
import tempfile

MASKS = """
import numpy as np
from maskreel.geometry.runs import pack_tracks
mask = {"size": [4, 4], "counts": [3, 4, 9]}
packed = pack_tracks([[mask]] * 2, height=4, width=4, place=lambda track, frame: "")
assert packed.overlaps_per_frame(np.array([[0, 1]])).item() == 4
"""
UNDER_NUMBA = """
import numba, numpy as np
from maskreel.kernels import compiled
def dispatched(types):
    def wrap(function):
        inner = numba.njit(cache=True, nogil=True, error_model="numpy")(function)
        return lambda *arguments: inner(*(x.reshape(-1) if isinstance(x, np.ndarray) else x for x in arguments))
    return wrap
compiled.compiled = dispatched
"""


def seconds(script: str, folder: str) -> float:
    """Processor time of a process that runs the script."""
    environment = os.environ | {"XDG_CACHE_HOME": folder, "NUMBA_CACHE_DIR": folder}
    before = os.times()
    subprocess.run([sys.executable, "-c", script], check=True, env=environment)
    after = os.times()
    return after.children_user + after.children_system - before.children_user - before.children_system


def main() -> None:
    parser = argparse.ArgumentParser(description="Start of compiled code: object code that we keep, numba's own cache.")
    parser.add_argument("--pairs", type=int, default=9)
    with tempfile.TemporaryDirectory() as folder:
        scripts = {"kept object code": MASKS, "numba's cache": UNDER_NUMBA + MASKS}
        for script in scripts.values():
            seconds(script, folder)
        runs = [[seconds(script, folder) for script in scripts.values()] for _ in range(parser.parse_args().pairs)]
    for name, times in zip(scripts, zip(*runs, strict=True), strict=True):
        print(f"{name:<18} {statistics.median(times):.2f} s")
    print(f"difference         {statistics.median(numba - kept for kept, numba in runs):.2f} s")


if __name__ == "__main__":
    main()
