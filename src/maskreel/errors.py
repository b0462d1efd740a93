"""Errors meant for users: one sentence that says what is wrong, where, and what to do."""

import signal


class UsageError(Exception):
    """What was typed is wrong: an option, a recipe name, a path that does not exist (exit code 2)."""


class OptionError(ValueError):
    """A value that was given for an option or an argument is not allowed: which, what it is, what it may be.

    Like the other types of this page it tells a sentence meant for users from a fault of Maskreel: a plain ValueError
    is reported as unexpected.
    """


class DataError(ValueError):
    """The content of a file is wrong, or something failed on the way (exit code 1)."""


class VideoReadError(DataError):
    """A video cannot be read, or not to its end.

    `frame` is the number of frames decoded before the failure, None when it did not open at all.
    """

    def __init__(self, path: object, reason: str, frame: int | None = None) -> None:
        place = "" if frame is None else f" after frame {frame}"
        super().__init__(f"{path}: {reason}{place}")
        self.path = path
        self.reason = reason
        self.frame = frame

    def __reduce__(self) -> tuple[type, tuple[object, ...]]:
        """For the way out of a worker process."""
        return type(self), (self.path, self.reason, self.frame)


class Ended(KeyboardInterrupt):
    """The process was told to end by SIGTERM or SIGHUP: as Ctrl-C, with another exit code (128 and the signal)."""

    def __init__(self, number: int, sentence: str = "") -> None:
        super().__init__(sentence or f"ended by {signal.Signals(number).name}")
        self.number = number


class PartialFailure(Exception):
    """Some of several sources failed while the others finished (exit code 3)."""
