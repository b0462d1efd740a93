"""What worker processes of the tests do; they import this module alone."""

import os
import signal
import time
from collections.abc import Callable
from functools import partial
from pathlib import Path

from maskreel.errors import DataError


def doubler() -> Callable[[int], int]:
    return _double


def _double(unit: int) -> int:
    return 2 * unit


def waiting() -> Callable[[int], int]:
    return _double_slowly


def _double_slowly(unit: int) -> int:
    time.sleep(0.3)
    return 2 * unit


def deadly(folder: Path, times: int) -> Callable[[int], int]:
    """Unit 3 ends the worker as many times; what was begun is noted in the folder."""
    return partial(_die, folder, times)


def _die(folder: Path, times: int, unit: int) -> int:
    (folder / f"{unit}-{os.getpid()}").touch()
    if unit == 3 and len(list(folder.glob("3-*"))) <= times:
        os.kill(os.getpid(), signal.SIGKILL)
    return 2 * unit


def refusing() -> Callable[[int], int]:
    raise DataError("model.safetensors: damaged")


def dying() -> Callable[[int], int]:
    os.kill(os.getpid(), signal.SIGKILL)
    raise AssertionError


def slow() -> Callable[[int], str]:
    """A unit lasts until the worker is told to stop."""
    stopped: list[int] = []
    signal.signal(signal.SIGTERM, lambda number, frame: stopped.append(number))
    return partial(_wait, stopped)


def _wait(stopped: list[int], unit: int) -> str:
    end = time.monotonic() + 60
    while not stopped and time.monotonic() < end:
        time.sleep(0.01)
    return "early" if stopped else "late"


def lacking() -> Callable[[int], int]:
    import nowhere.at_all  # noqa: F401  # pyright: ignore[reportMissingImports]

    raise AssertionError


def patient(folder: Path) -> Callable[[int], int]:
    """All but the first worker take their time before they can do anything."""
    (folder / str(os.getpid())).touch()
    if len(list(folder.iterdir())) > 1:
        time.sleep(8)
    return _double_slowly
