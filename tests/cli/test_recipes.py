"""`maskreel recipes` on the console and as JSON."""

import json
from pathlib import Path

import pytest

from maskreel.cli.main import main
from maskreel.recipes.catalog import RECIPES


def test_the_table_has_a_line_per_recipe(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["recipes"]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert lines[0].split() == [
        *["name", "model", "reported", "AP", "measured", "AP", "differs", "from", "the", "main", "row"]
    ]
    assert [line.split()[0] for line in lines[1:]] == list(RECIPES)
    row = next(line for line in lines if line.startswith("ms-sts-r50-ytvis19-encoder-before "))
    assert row.split()[1:5] == ["ms_sts", "47.1", "not", "run"]
    assert 'model.encoder_variant="encoder_before"' in row


def test_json_alone_on_the_console(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["recipes", "--json"]) == 0
    rows = {row["name"]: row for row in json.loads(capsys.readouterr().out)}
    assert set(rows) == set(RECIPES)
    row = rows["taformer-r50-ytvis19-fusion-add"]
    assert row["model"] == "taformer"
    assert row["main_row"] == "taformer-r50-ytvis19"
    assert row["reported"] == 45.9
    assert row["source"] == "table 4"
    assert row["measured"] == "not run"
    assert row["differences"]["model.neighbours.fusion"] == "add"


def test_json_in_a_file_beside_the_table(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["recipes", "--json", str(tmp_path / "recipes.json")]) == 0
    assert capsys.readouterr().out.startswith("name")
    assert len(json.loads((tmp_path / "recipes.json").read_text())) == len(RECIPES)
