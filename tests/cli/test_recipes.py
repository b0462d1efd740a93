"""`maskreel recipes` on the console and as JSON."""

import json
import re
from pathlib import Path

import pytest

from maskreel.cli.main import main
from maskreel.recipes.catalog import RECIPES
from maskreel.recipes.metrics import WITHOUT_RECIPE


def test_the_table_has_a_line_per_recipe(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["recipes"]) == 0
    lines = capsys.readouterr().out.splitlines()
    titles = ["name", "model", "reported AP", "measured AP", "AP50", "AP75", "AR1", "AR10", "FPS", "M parameters"]
    assert re.split(" {2,}", lines[0]) == [*titles, "differs from the main row"]
    assert [line.split()[0] for line in lines[1 : len(RECIPES) + 1]] == list(RECIPES)
    row = next(line for line in lines if line.startswith("ms-sts-r50-ytvis19-encoder-before "))
    assert row.split()[1:11] == ["ms_sts", "47.1", "not", "run", "68.9", "51.4", "45.5", "54.4", "-", "-"]
    assert 'model.encoder_variant="encoder_before"' in row


def test_an_ap_that_nobody_states_is_marked(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["recipes"]) == 0
    marked = [line.split()[0] for line in capsys.readouterr().out.splitlines() if "49.1 (derived)  not run" in line]
    assert marked == ["ms-sts-r50-ytvis19-without-adversary"]


def test_a_recipe_that_was_only_run_by_us_shows_what_we_measured(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["recipes"]) == 0
    row = next(line for line in capsys.readouterr().out.splitlines() if line.startswith("seqformer-tiny "))
    assert row.split()[1:10] == ["seqformer", "-", "43.5", "72.1", "51.4", "38.9", "59.9", "-", "3.1"]


def test_published_rows_without_a_recipe_stand_below(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["recipes"]) == 0
    lines = capsys.readouterr().out.splitlines()[len(RECIPES) + 1 :]
    assert lines[0] == ""
    assert len(lines) == 2 + len(WITHOUT_RECIPE)
    assert lines[2].split("  ")[0] == "SeqFormer, ResNeXt-101, YouTube-VIS 2019 joined with COCO"
    assert "51.2" in lines[2].split()


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
    assert row["measured_record"] is None
    full = dict.fromkeys(["ap50", "ap75", "ar1", "ar10", "fps", "parameters"])
    assert row["reported_records"] == [{"ap": 45.9, **full, "source": "table 4"}]
    own = rows["seqformer-tiny"]
    assert (own["reported"], own["source"], own["reported_records"], own["measured"]) == (None, None, [], 43.5)
    assert own["measured_record"]["command"] == "maskreel train seqformer-tiny --data.root data/"
    assert [report["ap"] for report in rows["vistr-r50-ytvis19"]["reported_records"]] == [36.2, 35.6]
    derived = rows["ms-sts-r50-ytvis19-without-adversary"]
    assert derived["reported"] == 49.1
    assert derived["source"].startswith("derived: ")


def test_json_in_a_file_beside_the_table(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["recipes", "--json", str(tmp_path / "recipes.json")]) == 0
    assert capsys.readouterr().out.startswith("name")
    assert len(json.loads((tmp_path / "recipes.json").read_text())) == len(RECIPES)
