"""What is told of many units where nobody watches."""

import logging

import pytest

from maskreel.cli import progress


def test_lines_tell_whole_units_their_rate_and_the_time_left(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    now = 0.0
    monkeypatch.setattr(progress.time, "monotonic", lambda: now)
    monkeypatch.setattr(progress.sys.stderr, "isatty", lambda: False, raising=False)
    with caplog.at_level(logging.INFO, "maskreel"), progress.unit_progress(5) as advance:
        for moment, units in ((4, 1 / 3), (8, 1 / 3), (12, 1 / 3), (24, 2.0), (25, 1.0)):
            now = moment
            advance(units)
    assert [record.message for record in caplog.records] == [
        "1 of 5 videos, 0.08 per second, 0:00:48 left",
        "3 of 5 videos, 0.12 per second, 0:00:16 left",
    ]
