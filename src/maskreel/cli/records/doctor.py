"""What can be typed after doctor.

This module imports nothing heavy, so that help and mistyped options are answered at once.
"""

from dataclasses import dataclass

from maskreel.cli.records.overwrite import Overwrite


@dataclass(frozen=True, kw_only=True)
class Doctor:
    """Examine this machine: versions, devices, memory, threads, codecs that really encode and decode, kept code, room
    on disk; each finding with what to do. Exit code 1 when a part of Maskreel does not work here."""

    overwrite: Overwrite = False
    json: str | None = None
    """Also write the findings as JSON here; without a path, JSON alone on stdout."""
