"""The table of a run and its lines on the console."""

import io
from pathlib import Path

import pytest
from rich.console import Console

from maskreel.errors import DataError
from maskreel.training.log import ResultsTable, Row, TrainingDisplay
from maskreel.training.progress import LossMeans


def row(step: int, metrics: dict[str, float | None] | None = None) -> Row:
    return Row(
        step=step, epoch=step / 10, time=1.5, losses={"total": 3.0, "mask": 1.0}, metrics=metrics, learning_rate=1e-4
    )


def test_the_table_has_the_agreed_columns(tmp_path: Path) -> None:
    table = ResultsTable(tmp_path / "results.csv")
    table.add(row(5))
    table.add(row(10, {"AP": 0.25, "AP50": None}))
    lines = table.path.read_text().splitlines()
    assert lines[0] == (
        "step,epoch,time,loss/total,loss/mask,"
        "metrics/AP,metrics/AP50,metrics/AP75,metrics/AR1,metrics/AR10,learning_rate"
    )
    assert lines[1] == "5,0.5000,1.5,3,1,,,,,,0.0001"
    assert lines[2] == "10,1.0000,1.5,3,1,0.250000,,,,,0.0001"


def test_lines_after_a_step_are_forgotten(tmp_path: Path) -> None:
    table = ResultsTable(tmp_path / "results.csv")
    for step in (5, 10, 15):
        table.add(row(step))
    table.forget_after(10)
    table.add(row(12))
    assert [line["step"] for line in table.read()] == ["5", "10", "12"]
    table.forget_after(0)
    assert table.read() == []


def test_a_table_of_something_else_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "results.csv"
    path.write_text("a,b\n1,2\n")
    with pytest.raises(DataError, match=r"results\.csv: not the table of a run"):
        ResultsTable(path).forget_after(3)


def test_means_are_taken_over_the_steps_since_the_last_line() -> None:
    means = LossMeans()
    means.add({"total": 1.0})
    means.add({"total": 3.0})
    assert means.take() == {"total": 2.0}
    means.add({"total": 5.0})
    assert means.take() == {"total": 5.0}


def test_a_pipe_gets_plain_lines_and_a_quiet_run_nothing() -> None:
    text = {}
    for quiet in (False, True):
        stream = io.StringIO()
        console = Console(file=stream, quiet=quiet, soft_wrap=True)
        with TrainingDisplay(total=20, done=0, quiet=quiet, console=console) as display:
            display.step(10, 3.0)
            display.row(row(10, {"AP": 0.5}))
        text[quiet] = stream.getvalue()
    assert text[True] == ""
    assert text[False].count("\n") == 1
    assert text[False].startswith("step 10/20  epoch 1.00  loss 3.000")
    assert text[False].endswith("AP 50.0\n")


def test_a_terminal_gets_a_bar() -> None:
    stream = io.StringIO()
    with TrainingDisplay(total=20, done=0, console=Console(file=stream, force_terminal=True, width=80)) as display:
        display.step(10, 3.0)
        display.row(row(10))
    assert "10/20" in stream.getvalue()
    assert "s/step" not in stream.getvalue()
