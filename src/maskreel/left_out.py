"""One odd thing among many: left out and counted, or an error, as `--on-bad` says."""

import json
import logging
from collections import Counter
from collections.abc import Iterable
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any, Literal

from maskreel.errors import DataError

logger = logging.getLogger(__name__)

OnBad = Literal["skip", "stop"]
"""What a thing that cannot be used does: be left out, or stop the command."""

Loss = Literal["shape", "image", "annotations", "video"]
"""How much goes with it: one shape of one object, a picture, a whole annotation file, a video of several."""

SKIPPED = frozenset({"shape", "video"})
"""What is left out where nobody says what to do; the others stop."""

SHOWN = 5
"""Warnings about things of one file, one by one; further ones are counted."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Omission:
    """Something that is not in the result."""

    loss: Loss
    file: str
    item: str
    """Which thing of the file, such as "track 0, frame 3"; empty for the file itself."""
    reason: str


class CanBeLeftOut(DataError):
    """Something cannot be used that a command may go on without."""

    def __init__(self, loss: Loss, file: Path | str, item: str, reason: str, advice: str) -> None:
        super().__init__(f"{file}: {item} {reason}. {advice}")
        self.omission = Omission(loss=loss, file=str(file), item=item, reason=reason)
        self._advice = advice

    def __reduce__(self) -> tuple[Any, ...]:
        """For the way out of a worker process."""
        one = self.omission
        return type(self), (one.loss, one.file, one.item, one.reason, self._advice)


class LeftOut:
    """Everything that a command leaves out, in the order in which it was met; each thing counts once."""

    def __init__(self, on_bad: OnBad | None = None, *, quiet: bool = False) -> None:
        """`quiet` gathers without warnings, for another one that is told later."""
        self.on_bad: OnBad | None = on_bad
        self._quiet = quiet
        self._found: dict[Omission, None] = {}
        self._by_file: Counter[str] = Counter()

    def leave_out(self, loss: Loss, file: Path | str, item: str, reason: str) -> None:
        """Count a thing and warn of it; DataError where it is to stop the command.

        `reason` is a phrase, such as "a polygon of 2 points".
        """
        omission = Omission(loss=loss, file=str(file), item=item, reason=reason)
        if omission in self._found:
            return
        where = f"{file}: {item}" if item else str(file)
        if not self.is_skipped(loss):
            way_out = "; --on-bad skip leaves it out" if self.on_bad is None else ""
            raise DataError(f"{where}: {reason}{way_out}")
        self._found[omission] = None
        self._by_file[omission.file] += 1
        if self._by_file[omission.file] <= SHOWN and not self._quiet:
            logger.warning("%s: %s; left out", where, reason)

    def is_skipped(self, loss: Loss) -> bool:
        """Whether a thing of that size is left out rather than an error."""
        return loss in SKIPPED if self.on_bad is None else self.on_bad == "skip"

    def warn_of_rest(self) -> None:
        """Say how many more there are than were told one by one; at the end of a command."""
        for file, count in self._by_file.items():
            if count > SHOWN:
                logger.warning("%s: %d things left out in all", file, count)

    def add(self, omissions: Iterable[Omission]) -> None:
        """What another one, such as that of a worker process, has found."""
        for one in omissions:
            self.leave_out(one.loss, one.file, one.item, one.reason)

    def rename(self, old: str, new: str) -> None:
        """Call a folder otherwise, as where it was an archive that is unpacked no more."""
        self._found = {replace(one, file=one.file.replace(old, new)): None for one in self._found}
        self._by_file = Counter({file.replace(old, new): count for file, count in self._by_file.items()})

    @property
    def omissions(self) -> tuple[Omission, ...]:
        return tuple(self._found)

    @property
    def counts(self) -> dict[str, int]:
        """By size of loss."""
        return dict(Counter(omission.loss for omission in self._found))

    def to_json(self) -> dict[str, Any]:
        """The content of `left_out.json`."""
        return {"counts": self.counts, "left_out": [asdict(omission) for omission in self._found]}

    def write(self, path: Path) -> None:
        path.write_text(json.dumps(self.to_json(), indent=1) + "\n", encoding="utf-8")
