"""`maskreel models`."""

import json
import re
from pathlib import Path

import pytest

from maskreel.checkpoints.published_counts import PUBLISHED_COUNTS
from maskreel.cli.main import main
from maskreel.recipes.catalog import RECIPES
from maskreel.recipes.metrics import MEASURED, REPORTED
from tests.recipes.test_recipes import COUNTS

COLUMNS = ["model", "part", "convention", "published", "ours", "difference", "source"]


@pytest.mark.slow
def test_every_recipe_is_listed_with_its_counts(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["models", "--json", str(tmp_path / "out" / "models.json")]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert lines[0].split("  ")[0] == "model"
    assert [line.split()[0] for line in lines[1:]] == list(RECIPES)
    tiny = next(line for line in lines if line.startswith("seqformer-tiny"))
    counts = [f"{count:,}" for count in vars(COUNTS["seqformer-tiny"]).values()]
    assert tiny.split()[1:] == [*counts, *["-"] * 7]
    rows = json.loads((tmp_path / "out" / "models.json").read_text())
    known = {row["model"]: (row.pop("reported"), row.pop("measured")) for row in rows}
    assert {row.pop("model"): row for row in rows} == {name: vars(counts) for name, counts in COUNTS.items()}
    assert {name for name, (reported, _) in known.items() if reported} == set(REPORTED)
    assert {name for name, (_, measured) in known.items() if measured} == set(MEASURED)


def test_what_was_reported_stands_beside_the_counts(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["models"]) == 0
    lines = capsys.readouterr().out.splitlines()
    titles = ["model", "trainable", "parameters", "state dict", "reported AP", "AP50", "AP75", "AR1", "AR10", "FPS"]
    assert re.split(" {2,}", lines[0]) == [*titles, "M parameters"]
    main_row = next(line for line in lines if line.startswith("ms-sts-r50-ytvis19 "))
    assert main_row.split()[-7:] == ["50.1", "73.2", "56.6", "46.1", "57.7", "10.0", "50.6"]


@pytest.mark.nightly
def test_published_counts_are_met_exactly(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["models", "--published", "--json"]) == 0
    rows = json.loads(capsys.readouterr().out)
    assert len(rows) == len(PUBLISHED_COUNTS)
    assert all(list(row) == COLUMNS for row in rows)
    assert [row["difference"] for row in rows] == [0] * len(rows)
    assert all(row["ours"] == row["published"] for row in rows)
    assert {"model": "seqformer-r50", "convention": "state_dict", "published": 49306085}.items() <= rows[2].items()


def test_an_unknown_option_is_answered_with_the_nearest(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["models", "--publishd"]) == 2
    assert capsys.readouterr().err == ("maskreel: error: unknown option --publishd; did you mean --published?\n")


@pytest.mark.slow
def test_a_file_that_cannot_be_written_is_one_sentence(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "file").write_text("")
    assert main(["models", "--json", str(tmp_path / "file" / "models.json")]) == 2
    error = capsys.readouterr().err
    assert error.startswith(f"maskreel: error: {tmp_path / 'file'}: cannot write there (")
    assert error.count("\n") == 1
