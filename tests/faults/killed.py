"""Runs commands in children of a process that has imported everything, and kills them at a chosen change of the disk.

`python -m tests.faults.killed` reads a job per line (JSON: words, folder, kill_at, signal) and answers each with one:
exit code, or the negative signal, and the number of changes that the child came to. A change is a file opened for
writing, a rename, a folder made or a file removed below the folder, so a command meets the same ones every time.
"""

import json
import os
import signal
import subprocess
import sys
from dataclasses import dataclass
from itertools import count
from pathlib import Path
from types import TracebackType

CHANGES = ("os.rename", "os.remove", "os.rmdir", "os.mkdir", "os.link")


@dataclass(frozen=True)
class Ending:
    """How a command ended."""

    code: int
    changes: int
    text: str


class Killer:
    """The process that commands are forked from."""

    def __enter__(self) -> "Killer":
        self._process = subprocess.Popen(
            [sys.executable, "-m", "tests.faults.killed"],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
            cwd=Path(__file__).parents[2],
            env={**os.environ, "OMP_NUM_THREADS": "1", "CUDA_VISIBLE_DEVICES": ""},
        )
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._process.communicate()

    def run(self, folder: Path, *words: str | Path, kill_at: int | None = None, number: int = signal.SIGKILL) -> Ending:
        """A command in a folder; `kill_at` counts changes from 0."""
        job = {"folder": str(folder), "words": list(map(str, words)), "kill_at": kill_at, "signal": number}
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        self._process.stdin.write(json.dumps(job) + "\n")
        self._process.stdin.flush()
        return Ending(**json.loads(self._process.stdout.readline()))


def _serve() -> None:
    import torch

    from maskreel.cli.main import COMMANDS, main

    for command in COMMANDS.values():
        __import__(command.module)
    torch.set_num_threads(1)
    for line in sys.stdin:
        sys.stdout.write(json.dumps(_in_child(json.loads(line), main)) + "\n")
        sys.stdout.flush()


def _in_child(job: dict, main) -> dict:
    counted, told = os.memfd_create("changes"), os.memfd_create("text")
    child = os.fork()
    if child == 0:
        signal.alarm(300)
        # What whoever started the tests ignores, as nohup does, a command would ignore as well.
        for number in (signal.SIGHUP, signal.SIGTERM):
            signal.signal(number, signal.SIG_DFL)
        signal.signal(signal.SIGINT, signal.default_int_handler)
        os.chdir(job["folder"])
        os.dup2(told, 1), os.dup2(told, 2)
        _count(job, counted)
        code = 70
        try:
            code = main(job["words"])
        finally:
            sys.stdout.flush()
            os._exit(code)
    _, status = os.waitpid(child, 0)
    text = os.pread(told, 1 << 16, 0).decode(errors="replace")
    changes = os.fstat(counted).st_size
    os.close(counted), os.close(told)
    return {"code": os.waitstatus_to_exitcode(status), "changes": changes, "text": text}


def _count(job: dict, counted: int) -> None:
    numbers = count()  # Several threads may change the disk: no two have one number.

    def hook(event: str, arguments: tuple) -> None:
        is_written = (
            event == "open" and isinstance(arguments[2], int) and bool(arguments[2] & (os.O_WRONLY | os.O_RDWR))
        )
        is_change = (is_written or event in CHANGES) and isinstance(arguments[0], str | bytes | os.PathLike)
        if not is_change or not os.path.abspath(os.fsdecode(arguments[0])).startswith(job["folder"]):
            return
        if next(numbers) == job["kill_at"]:
            os.kill(os.getpid(), job["signal"])
        os.write(counted, b".")

    sys.addaudithook(hook)


if __name__ == "__main__":
    _serve()
