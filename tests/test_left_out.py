import json
import logging
from pathlib import Path

import pytest

from maskreel.errors import DataError
from maskreel.left_out import SHOWN, LeftOut, Loss, Omission, OnBad


@pytest.mark.parametrize(
    ("on_bad", "loss", "is_skipped"),
    [
        (None, "shape", True),
        (None, "image", False),
        (None, "annotations", False),
        (None, "video", True),
        ("stop", "shape", False),
        ("stop", "video", False),
        ("skip", "image", True),
        ("skip", "annotations", True),
    ],
)
def test_the_size_of_the_loss_decides_where_nobody_does(on_bad: OnBad | None, loss: Loss, is_skipped: bool) -> None:
    left_out = LeftOut(on_bad)
    if is_skipped:
        left_out.leave_out(loss, "a.xml", "track 0, frame 3", "a polygon of 2 points")
        assert left_out.counts == {loss: 1}
    else:
        with pytest.raises(DataError, match=r"^a\.xml: track 0, frame 3: a polygon of 2 points"):
            left_out.leave_out(loss, "a.xml", "track 0, frame 3", "a polygon of 2 points")
        assert not left_out.omissions


def test_an_error_by_default_names_the_switch_and_one_that_was_asked_for_does_not() -> None:
    with pytest.raises(DataError, match="--on-bad skip"):
        LeftOut().leave_out("image", "a.png", "", "cut short")
    with pytest.raises(DataError, match=r"^a\.png: cut short$"):
        LeftOut("stop").leave_out("image", "a.png", "", "cut short")


def test_a_warning_names_file_object_and_reason_and_many_are_counted(caplog: pytest.LogCaptureFixture) -> None:
    left_out = LeftOut()
    with caplog.at_level(logging.WARNING):
        for frame in range(SHOWN + 3):
            left_out.leave_out("shape", "a.xml", f"track 0, frame {frame}", "no points")
        left_out.leave_out("shape", "a.xml", "track 0, frame 0", "no points")
        left_out.warn_of_rest()
    assert caplog.messages[0] == "a.xml: track 0, frame 0: no points; left out"
    assert len(caplog.messages) == SHOWN + 1
    assert caplog.messages[-1] == f"a.xml: {SHOWN + 3} things left out in all"


def test_what_was_left_out_is_written(tmp_path: Path) -> None:
    left_out = LeftOut()
    left_out.add([Omission(loss="shape", file="a.xml", item="track 0", reason="no points")])
    left_out.write(tmp_path / "left_out.json")
    assert json.loads((tmp_path / "left_out.json").read_text()) == {
        "counts": {"shape": 1},
        "left_out": [{"loss": "shape", "file": "a.xml", "item": "track 0", "reason": "no points"}],
    }
