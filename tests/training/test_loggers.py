"""Where a run tells its figures."""

import subprocess
import sys
from pathlib import Path

import pytest

from maskreel.cli.main import main
from maskreel.errors import OptionError
from maskreel.training import loggers
from maskreel.training.log import ResultsTable, Row
from maskreel.training.loggers import TensorBoard, named_loggers
from maskreel.training.loop import resume, train
from maskreel.training.recipe import Recipe


class Told:
    """Keeps what it is told."""

    def __init__(self) -> None:
        self.begun: list[tuple[str, int]] = []
        self.steps: list[int] = []
        self.num_closed = 0

    def begin(self, folder: Path, recipe: Recipe, *, step: int) -> None:
        self.begun.append((f"{folder.name} {recipe.name}", step))

    def row(self, row: Row) -> None:
        self.steps.append(row.step)

    def close(self) -> None:
        self.num_closed += 1


@pytest.mark.slow
def test_loggers_are_told_what_the_table_holds(recipe: Recipe, tmp_path: Path) -> None:
    told = Told()
    train(recipe, tmp_path / "run", loggers=[told], quiet=True)
    assert told.begun == [("run tiny", 0)]
    assert [str(step) for step in told.steps] == [
        line["step"] for line in ResultsTable(tmp_path / "run/results.csv").read()
    ]
    assert told.num_closed == 1
    resume(recipe, tmp_path / "run", loggers=[told], quiet=True)
    assert told.begun[1] == ("run tiny", 6)
    assert told.num_closed == 2


ROW = Row(step=4, epoch=0.5, time=1.0, losses={"total": 2.5}, metrics={"AP": 0.25, "AP50": None}, learning_rate=1e-4)


def scalars(folder: Path) -> dict[str, list[tuple[int, float]]]:
    accumulator = pytest.importorskip("tensorboard.backend.event_processing.event_accumulator")
    events = accumulator.EventAccumulator(str(folder / "tensorboard"))
    events.Reload()
    return {tag: [(e.step, e.value) for e in events.Scalars(tag)] for tag in events.Tags()["scalars"]}


def test_tensorboard_shows_losses_metrics_and_rate(recipe: Recipe, tmp_path: Path) -> None:
    pytest.importorskip("tensorboard")
    logger = TensorBoard()
    logger.begin(tmp_path, recipe, step=0)
    logger.row(ROW)
    logger.close()
    found = scalars(tmp_path)
    assert found["loss/total"] == [(4, 2.5)]
    assert found["metrics/AP"] == [(4, 0.25)]
    assert found["learning_rate"] == [(4, pytest.approx(1e-4))]
    assert "metrics/AP50" not in found


def test_steps_that_a_resumed_run_does_again_are_shown_once(recipe: Recipe, tmp_path: Path) -> None:
    pytest.importorskip("tensorboard")
    for step in (0, 3):
        logger = TensorBoard()
        logger.begin(tmp_path, recipe, step=step)
        logger.row(ROW)
        logger.close()
    assert scalars(tmp_path)["loss/total"] == [(4, 2.5)]


def test_words_choose_loggers() -> None:
    assert named_loggers("csv") == []
    pytest.importorskip("tensorboard")
    assert [type(logger) for logger in named_loggers("csv, tensorboard,tensorboard")] == [TensorBoard]


def test_an_unknown_logger_is_answered_with_the_near_one() -> None:
    with pytest.raises(OptionError, match=r"^log 'tensorbord': did you mean 'tensorboard'\?$"):
        named_loggers("tensorbord")
    with pytest.raises(OptionError, match=r"choose from csv, tensorboard"):
        named_loggers("wandb")


def test_a_missing_package_is_named_with_its_extra(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(loggers, "find_spec", lambda name: None)
    assert main(["train", "seqformer-tiny", "--log", "tensorboard"]) == 2
    assert "--log 'tensorboard': the package tensorboard is missing; pip install 'maskreel[track]'" in (
        capsys.readouterr().err
    )


def test_nothing_is_imported_that_was_not_asked_for() -> None:
    code = "import sys, maskreel.training.loop; print('tensorboard' in sys.modules)"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "False"
