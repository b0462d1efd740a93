"""`maskreel demo`: a clip that no model has seen, and weights that know what is in it."""

import json
from pathlib import Path

import pytest
import torch
from PIL import Image

from maskreel.cli.main import main
from maskreel.errors import UsageError
from maskreel.models.catalog import CATALOG
from maskreel.models.folder import BUNDLED, BUNDLED_MODELS, build_model, load_model, model_folder, save_model
from maskreel.recipes.catalog import RECIPES
from maskreel.rendered.synthetic import DEMO_SEED, TEST_SEEDS, TRAIN_SEEDS
from maskreel.video.sources import open_video

MEGABYTE = 1_000_000


def test_no_training_or_test_seed_is_the_demo_seed() -> None:
    assert DEMO_SEED not in TRAIN_SEEDS
    assert DEMO_SEED not in TEST_SEEDS
    assert not set(TRAIN_SEEDS) & set(TEST_SEEDS)


def test_the_bundled_weights_are_those_of_the_recipe_and_small() -> None:
    loaded = load_model(BUNDLED)
    assert loaded.config == RECIPES["seqformer-tiny"]().model
    assert sum(p.numel() for p in loaded.model.parameters()) <= 3_800_000
    size = sum(path.stat().st_size for path in model_folder(BUNDLED).iterdir())
    assert size <= 8 * MEGABYTE


@pytest.mark.slow
def test_the_demo_shows_what_the_bundled_model_finds(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    folder = tmp_path / "shown"
    assert main(["demo", "--out", str(folder)]) == 0
    printed = capsys.readouterr().out
    assert "AP50" in printed
    for name in ("demo.mp4", "demo.png", "demo.json"):
        assert name in printed
    masklets = json.loads((folder / "demo.json").read_text())
    assert masklets["frames"] == {"declared": 16, "decoded": 16, "skipped": []}
    assert len(masklets["masklets"]) >= 3
    video = open_video(folder / "demo.mp4")
    assert video.size == (288, 480)
    assert sum(1 for _ in video) == 16
    assert Image.open(folder / "demo.png").width > 1000
    assert main(["demo", "--out", str(folder)]) == 2


@pytest.mark.slow
def test_the_bundled_model_is_far_better_than_random_weights(tmp_path: Path) -> None:
    config = RECIPES["seqformer-tiny"]().model
    torch.manual_seed(0)
    trained = load_model(BUNDLED)
    save_model(tmp_path / "random", build_model(config), config, trained.classes, inference=trained.inference)
    figures = {}
    for name, weights in {"random": str(tmp_path / "random"), "bundled": BUNDLED}.items():
        told = tmp_path / f"{name}.json"
        assert main(["demo", "--run", weights, "--out", str(tmp_path / f"{name}-out"), "--json", str(told)]) == 0
        figures[name] = json.loads(told.read_text())["metrics"]["AP"]
    assert 100 * figures["random"] < 5
    assert 100 * figures["bundled"] > 40


@pytest.mark.parametrize("word", BUNDLED_MODELS)
def test_a_model_by_its_word_is_that_of_the_small_recipe_or_is_named_with_what_makes_it(word: str) -> None:
    recipe = BUNDLED_MODELS[word]
    if word != "bundled-seqformer" and not (Path(__file__).parents[2] / "weights" / recipe).is_dir():
        makes = f"{word}: .*maskreel train {recipe} --data.root DATA --out weights/{recipe}"
        with pytest.raises(UsageError, match=makes):
            load_model(word)
        return
    assert load_model(word).config == RECIPES[recipe]().model
    assert (model_folder(word) / "model.safetensors").stat().st_size <= 7.5 * MEGABYTE


def test_there_is_a_word_for_every_system() -> None:
    assert {word.removeprefix("bundled-").replace("-", "_") for word in BUNDLED_MODELS} == set(CATALOG)
    assert set(BUNDLED_MODELS.values()) <= set(RECIPES)


def test_all_and_a_run_of_your_own_are_refused_together(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["demo", "--all", "--run", str(tmp_path), "--out", str(tmp_path / "out")]) == 2
    assert str(tmp_path) in capsys.readouterr().err
    assert not (tmp_path / "out").exists()


@pytest.mark.slow
def test_all_systems_are_shown_on_the_same_clip_or_named(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["demo", "--all", "--out", str(tmp_path / "shown"), "--json"]) == 0
    report = json.loads(capsys.readouterr().out)
    assert {*report["models"], *report["absent"]} == {word.removeprefix("bundled-") for word in BUNDLED_MODELS}
    assert not report["models"].keys() & report["absent"].keys()
    for name, model in report["models"].items():
        masklets = json.loads((tmp_path / "shown" / f"{name}.json").read_text())["masklets"]
        assert len(masklets) == model["objects"]
        assert model["seconds"] > 0
    assert report["models"]["seqformer"]["metrics"]["AP"] > 0.4
    rows = 1 + len(report["models"])
    assert Image.open(report["picture"]).height > rows * 100
