"""Faults to plant: a place in the source and what to write there instead."""

import hashlib
import tomllib
from dataclasses import dataclass
from pathlib import Path

FOLDER = Path(__file__).parent / "faults"
"""One list per room, and one for the modules that stand alone."""


class DoesNotApply(Exception):
    """The text that a fault replaces is not there, or more than once."""


@dataclass(frozen=True, kw_only=True)
class Fault:
    """A small patch of one file below `src/maskreel`."""

    file: str
    """Such as `criteria/losses.py`."""
    before: str
    after: str
    says: str
    """What is wrong then, in a sentence."""
    sampled: bool = False
    """Whether `make sample` plants it: a tenth of every room, of those that are noticed soonest."""
    place: int = -1
    """Where in the file the text begins, in characters; -1 where it stands there once."""

    @property
    def room(self) -> str:
        return self.file.partition("/")[0].removesuffix(".py")

    @property
    def key(self) -> str:
        """The same fault has the same key in every run."""
        parts = (self.file, self.before, self.after, str(self.place))
        return hashlib.sha256("\0".join(parts).encode()).hexdigest()[:12]

    def applied(self, source: str) -> str:
        if self.place >= 0:
            if source[self.place :].startswith(self.before):
                return source[: self.place] + self.after + source[self.place + len(self.before) :]
            raise DoesNotApply(f"{self.file}: {self.says}: the text at {self.place} is another one")
        if (count := source.count(self.before)) != 1:
            raise DoesNotApply(f"{self.file}: {self.says}: the text to replace stands there {count} times, not once")
        return source.replace(self.before, self.after)


def planted() -> list[Fault]:
    """The project's own list, room by room."""
    found = []
    for path in sorted(FOLDER.glob("*.toml")):
        for entry in tomllib.loads(path.read_text())["fault"]:
            # A multi-line text is written without its line's end.
            before, after = (entry[name].removesuffix("\n") for name in ("before", "after"))
            found.append(Fault(**entry | {"before": before, "after": after}))
    return found
