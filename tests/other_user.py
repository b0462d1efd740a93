"""Runs something as a user without rights: root may read and write whatever its mode forbids."""

import gc
import os
import signal
import sys
import tempfile
import traceback
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import torch

NOBODY = 65534
LIMIT = 120
"""Seconds after which a child is stopped."""


@contextmanager
def open_folder() -> Iterator[Path]:
    """A folder that every user may enter, unlike pytest's own."""
    with tempfile.TemporaryDirectory() as name:
        os.chmod(name, 0o755)
        yield Path(name)


def as_nobody(action: Callable[[], int]) -> tuple[int, str]:
    """Status of an action in a child process that has no rights, and what it wrote.

    What the action imports must be imported before, for this user may be unable to read it.
    """
    with tempfile.TemporaryFile("w+") as written:
        child = os.fork()
        if child == 0:
            os._exit(_without_rights(action, written.fileno()))
        _, status = os.waitpid(child, 0)
        written.seek(0)
        return os.waitstatus_to_exitcode(status), written.read()


def _without_rights(action: Callable[[], int], descriptor: int) -> int:
    signal.alarm(LIMIT)
    gc.freeze()  # A decoder among the parent's garbage would be freed here: it waits for threads that do not live on.
    torch.set_num_threads(1)  # The parent's threads do not live on in a child, and waiting for them never ends.
    sys.stdout = sys.stderr = os.fdopen(os.dup(descriptor), "w", buffering=1)
    try:
        if os.geteuid() == 0:
            os.setgroups([])
            os.setresgid(NOBODY, NOBODY, NOBODY)
            os.setresuid(NOBODY, NOBODY, NOBODY)
        return action()
    except BaseException:
        traceback.print_exc()
        return 70
    finally:
        sys.stderr.flush()
