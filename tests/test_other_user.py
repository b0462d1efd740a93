"""The user without rights that permission tests act as."""

import sys
from pathlib import Path

from tests.other_user import as_nobody, open_folder


def write(path: Path) -> int:
    return path.write_text("x")


def test_it_may_write_where_its_mode_allows_and_nowhere_else() -> None:
    with open_folder() as folder:
        for name, mode in (("open", 0o777), ("closed", 0o555)):
            (folder / name).mkdir()
            (folder / name).chmod(mode)
        assert as_nobody(lambda: write(folder / "open" / "a.txt")) == (1, "")
        status, written = as_nobody(lambda: write(folder / "closed" / "a.txt"))
        assert status == 70
        assert "PermissionError" in written
        assert list((folder / "closed").iterdir()) == []


def test_what_it_says_and_its_status_come_back() -> None:
    def speak() -> int:
        sys.stdout.write("one\n")
        return 3

    assert as_nobody(speak) == (3, "one\n")
