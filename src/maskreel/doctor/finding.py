"""What an examination of this machine finds."""

from dataclasses import dataclass
from typing import Literal

State = Literal["ok", "note", "problem"]
"""`note`: works, but something is slower, missing or odd; `problem`: a part of Maskreel does not work here."""


@dataclass(frozen=True, kw_only=True)
class Finding:
    """One line of the report."""

    subject: str
    """What was looked at, such as "disk"."""
    state: State
    found: str
    advice: str = ""
    """What to do; never empty unless all is well."""

    def __post_init__(self) -> None:
        assert self.state == "ok" or self.advice, f"{self.subject}: {self.state} without a word on what to do"
