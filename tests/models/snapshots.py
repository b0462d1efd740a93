"""Writes the pinned names and shapes of the small models' state dicts: `python -m tests.models.snapshots`."""

from pathlib import Path

from tests.checkpoints.tables import TINY
from tests.models.test_contract import state_lines

if __name__ == "__main__":
    folder = Path(__file__).parent / "state_dicts"
    folder.mkdir(exist_ok=True)
    for name, config in TINY.items():
        (folder / f"{name}.txt").write_text("\n".join(state_lines(config)) + "\n")
