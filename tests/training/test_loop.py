"""A training run on disk: what it writes, how it stops, and that it goes on where it stopped."""

import csv
import json
import logging
import os
import random
import shutil
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from safetensors.torch import load_file

from maskreel.config import from_dict
from maskreel.errors import DataError, UsageError
from maskreel.models.folder import load_model
from maskreel.training import validation
from maskreel.training.distributed import Processes
from maskreel.training.diverged import TrainingDiverged
from maskreel.training.loop import TrainingRun, resume, train
from maskreel.training.recipe import Recipe
from maskreel.training.run_data import load_run_data
from maskreel.training.run_folder import read_recipe, write_recipe
from tests.builders import write_youtube_vis
from tests.checkpoints.tables import replaced
from tests.training.test_distributed import SCRIPT


def results(run: Path) -> list[dict[str, str]]:
    """Lines of the table without the time, which differs from run to run."""
    with (run / "results.csv").open() as file:
        return [{key: value for key, value in line.items() if key != "time"} for line in csv.DictReader(file)]


def assert_same_run(one: Path, other: Path, steps: int = 6) -> None:
    """Same bits of weights and optimizer, same table, same state of every generator and of the sampler."""
    for name in ("model.safetensors", "optimizer.safetensors"):
        file = f"checkpoints/step-{steps:08d}/{name}"
        assert (one / file).read_bytes() == (other / file).read_bytes(), name
    assert (one / "weights/last/model.safetensors").read_bytes() == (
        other / "weights/last/model.safetensors"
    ).read_bytes()
    assert results(one) == results(other)
    states = [json.loads((run / f"checkpoints/step-{steps:08d}/state.json").read_text()) for run in (one, other)]
    for state in states:
        # The type checker of the test run draws from python's own generator.
        del state["seconds"], state["random"]["python"]
    assert states[0] == states[1]


def train_until_interrupted(recipe: Recipe, folder: Path, is_time: Callable[[], bool]) -> str:
    """Train; another thread presses Ctrl-C once `is_time`. Returns the message of the interruption."""
    stop = threading.Event()

    def press() -> None:
        while not is_time() and not stop.is_set():
            time.sleep(0.005)
        if not stop.is_set():
            os.kill(os.getpid(), signal.SIGINT)

    thread = threading.Thread(target=press)
    thread.start()
    try:
        with pytest.raises(KeyboardInterrupt) as caught:
            train(recipe, folder, quiet=True)
    finally:
        stop.set()
        thread.join()
    return str(caught.value)


@pytest.fixture(scope="module")
def whole(recipe: Recipe, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A run that was never interrupted; tests copy it before they change it."""
    folder = tmp_path_factory.mktemp("runs") / "whole"
    train(recipe, folder, quiet=True)
    return folder


@pytest.mark.slow
def test_a_run_folder_holds_what_it_should(whole: Path, recipe: Recipe) -> None:
    for name in ("config.json", "environment.json", "dataset.json", "results.csv"):
        assert (whole / name).is_file()
    for name in ("labels.png", "train_batch0.jpg", "results.png"):
        assert (whole / name).stat().st_size > 500
    objects = list(csv.DictReader((whole / "labels.csv").open()))
    assert {entry["class"] for entry in objects} <= {"line", "block"}
    assert len({entry["video"] for entry in objects}) == 2
    assert all(int(entry["frames"]) > 0 for entry in objects)
    assert from_dict(Recipe, json.loads((whole / "config.json").read_text())) == recipe
    assert json.loads((whole / "environment.json").read_text())["packages"]["torch"] == torch.__version__
    assert json.loads((whole / "dataset.json").read_text())["splits"]["train"]["num_videos"] == 2
    assert [line["step"] for line in results(whole)] == ["4", "6"]
    assert sorted(path.name for path in (whole / "checkpoints").iterdir()) == ["step-00000004", "step-00000006"]
    for name in ("best", "last"):
        loaded = load_model(whole / "weights" / name)
        assert loaded.classes == ((3, "line"), (7, "block"))
        assert loaded.inference["short_side"] == 32


@pytest.mark.slow
def test_the_same_recipe_gives_the_same_bits(whole: Path, recipe: Recipe, tmp_path: Path) -> None:
    random.seed(99)
    np.random.seed(99)  # noqa: NPY002
    torch.manual_seed(99)
    train(recipe, tmp_path / "again", quiet=True)
    assert_same_run(whole, tmp_path / "again")


def test_training_changes_every_parameter(whole: Path) -> None:
    first, last = (load_file(whole / f"checkpoints/step-{step:08d}/model.safetensors") for step in (4, 6))
    learned = load_file(whole / "checkpoints/step-00000006/optimizer.safetensors")
    names = [name.removesuffix(".exp_avg") for name in learned if name.endswith(".exp_avg")]
    unchanged = [name for name in names if torch.equal(first[name], last[name])]
    assert unchanged == []


@pytest.mark.slow
def test_an_interrupted_run_resumes_to_the_same_bits(whole: Path, recipe: Recipe, tmp_path: Path) -> None:
    folder = tmp_path / "run"
    message = train_until_interrupted(recipe, folder, lambda: (folder / "train_batch0.jpg").exists())
    assert f"maskreel train --resume {folder}" in message
    assert load_model(folder).config == recipe.model
    resume(read_recipe(folder), folder, quiet=True)
    assert_same_run(whole, folder)


@pytest.mark.slow
def test_workers_change_nothing_even_across_an_interruption(whole: Path, recipe: Recipe, tmp_path: Path) -> None:
    folder = tmp_path / "run"
    recipe = replace(recipe, data=replace(recipe.data, workers=2))
    train_until_interrupted(recipe, folder, lambda: (folder / "checkpoints/step-00000002").exists())
    resume(recipe, folder, quiet=True)
    assert_same_run(whole, folder)


@pytest.mark.slow
def test_a_half_written_checkpoint_is_never_picked_up(whole: Path, recipe: Recipe, tmp_path: Path) -> None:
    folder = tmp_path / "run"
    shutil.copytree(whole, folder)
    checkpoints = folder / "checkpoints"
    half = checkpoints / ".step-00000006.0123abcd"
    (checkpoints / "step-00000006").rename(half)
    (half / "sums.json").unlink()
    resume(recipe, folder, quiet=True)
    assert_same_run(whole, folder)
    assert not half.exists()


@pytest.mark.slow
def test_a_killed_run_resumes_to_the_same_bits(whole: Path, recipe: Recipe, tmp_path: Path) -> None:
    """The process dies while it writes a checkpoint, or just after."""
    folder = tmp_path / "run"
    write_recipe(tmp_path, recipe)
    process = subprocess.Popen([sys.executable, "-c", SCRIPT, str(tmp_path), str(folder)])
    while process.poll() is None and not list(folder.glob("checkpoints/.step-00000004.*")):
        time.sleep(0.001)
    process.kill()
    process.wait()
    resume(recipe, folder, quiet=True)
    assert_same_run(whole, folder)
    assert not list(folder.glob("*/.*"))


@pytest.mark.parametrize("name", ["model.safetensors", "optimizer.safetensors", "state.json"])
def test_a_damaged_checkpoint_is_passed_over_with_a_warning(
    name: str, whole: Path, recipe: Recipe, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    folder = tmp_path / "run"
    shutil.copytree(whole, folder)
    damaged = folder / "checkpoints/step-00000006" / name
    content = bytearray(damaged.read_bytes())
    content[len(content) // 2] ^= 1
    damaged.write_bytes(content)
    resume(recipe, folder, quiet=True)
    assert "damaged" in caplog.text
    assert_same_run(whole, folder)


def test_a_run_without_a_good_checkpoint_cannot_be_resumed(recipe: Recipe, tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="no checkpoint to resume from"):
        resume(recipe, tmp_path, quiet=True)
    bad = tmp_path / "checkpoints" / "step-00000001"
    bad.mkdir(parents=True)
    (bad / "sums.json").write_text('{"model.safetensors": "0"}')
    with pytest.raises(DataError, match="every checkpoint is damaged"):
        resume(recipe, tmp_path, quiet=True)


def test_a_checkpoint_of_another_model_is_refused(whole: Path, recipe: Recipe, tmp_path: Path) -> None:
    shutil.copytree(whole, tmp_path / "run")
    other = replace(recipe, model=replaced(recipe.model, "queries.count", 7))
    with pytest.raises(DataError, match="tensors do not fit the model"):
        resume(other, tmp_path / "run", quiet=True)


def test_a_checkpoint_of_other_data_is_refused(whole: Path, recipe: Recipe, tmp_path: Path) -> None:
    write_youtube_vis(tmp_path / "other", num_videos=3)
    shutil.copytree(whole, tmp_path / "run")
    other = replace(recipe, data=replace(recipe.data, root=tmp_path / "other"))
    with pytest.raises(ValueError, match="num_clips"):
        resume(other, tmp_path / "run", quiet=True)


def test_a_finished_run_resumed_stays_as_it_is(whole: Path, recipe: Recipe, tmp_path: Path) -> None:
    shutil.copytree(whole, tmp_path / "run")
    resume(recipe, tmp_path / "run", quiet=True)
    assert_same_run(whole, tmp_path / "run")


def test_a_loss_that_is_not_finite_stops_with_a_dump(recipe: Recipe, tmp_path: Path) -> None:
    wild = replace(recipe, training=replace(recipe.training, learning_rate=1e30, clip_norm=0.0, warmup=0))
    with pytest.raises(TrainingDiverged, match=r"step \d+: .*diverged-step-\d+") as caught:
        train(wild, tmp_path / "run", quiet=True)
    dump = caught.value.dump
    assert dump.is_relative_to(tmp_path / "run")
    assert {path.name for path in dump.iterdir()} == {"batch.safetensors", "model.safetensors", "dump.json"}
    assert load_file(dump / "batch.safetensors")["batch0.frames"].shape[:3] == (2, 2, 3)
    assert len(json.loads((dump / "dump.json").read_text())["clips"]) == 2


@pytest.mark.slow
def test_accumulated_batches_weigh_as_one_batch(recipe: Recipe, tmp_path: Path) -> None:
    """Clips with the same objects, no batch statistics, no dropout: the gradient is that of all clips together."""
    model = replace(
        replaced(recipe.model, "transformer.dropout", 0.0), backbone=replace(recipe.model.backbone, norm="group")
    )
    data = replace(recipe.data, augmentation=None, num_frames=6)
    moments = {}
    for accumulate in (1, 2):
        training = replace(recipe.training, steps=1, accumulate=accumulate)
        accumulated = replace(recipe, model=model, data=replace(data, batch_size=2 // accumulate), training=training)
        folder = tmp_path / str(accumulate)
        train(accumulated, folder, quiet=True)
        moments[accumulate] = load_file(folder / "checkpoints/step-00000001/optimizer.safetensors")
    for name, moment in moments[1].items():
        torch.testing.assert_close(moments[2][name], moment, rtol=1e-3, atol=1e-7, msg=name)


def test_a_recipe_without_data_says_which_option_is_missing(recipe: Recipe, tmp_path: Path) -> None:
    with pytest.raises(UsageError, match=r"--data\.root DIR"):
        train(replace(recipe, data=replace(recipe.data, root=None)), tmp_path / "run")


@pytest.mark.slow
def test_the_number_of_classes_comes_from_the_data(
    recipe: Recipe, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.INFO)
    wide = replace(recipe, model=replace(recipe.model, num_classes=40), training=replace(recipe.training, steps=1))
    train(wide, tmp_path / "run", quiet=True)
    assert caplog.text.count("model.num_classes set from 40 to 2") == 1
    assert read_recipe(tmp_path / "run").model.num_classes == 2
    assert load_model(tmp_path / "run").config.num_classes == 2


@pytest.mark.slow
def test_bf16_trains_on_the_cpu_and_fp16_is_refused(recipe: Recipe, tmp_path: Path) -> None:
    short = replace(recipe, training=replace(recipe.training, steps=2, precision="bf16"))
    train(short, tmp_path / "run", quiet=True)
    assert len(results(tmp_path / "run")) == 1
    with pytest.raises(UsageError, match="fp16 needs CUDA"):
        train(replace(recipe, training=replace(recipe.training, precision="fp16")), tmp_path / "other", quiet=True)


@pytest.mark.slow
def test_validation_writes_figures_and_pictures_and_changes_nothing_else(
    whole: Path, recipe: Recipe, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    validated = replace(recipe, training=replace(recipe.training, validate_every=3))
    drawn: list[Path] = []
    monkeypatch.setattr(validation, "draw_plots", lambda folder, found: drawn.append(folder))
    train(validated, tmp_path / "run", quiet=True)
    lines = results(tmp_path / "run")
    assert [(line["step"], bool(line["metrics/AP"])) for line in lines] == [("3", True), ("4", False), ("6", True)]
    for name in ("val_batch0_labels.jpg", "val_batch0_pred.jpg"):
        assert (tmp_path / "run" / name).stat().st_size > 500
    last = "weights/last/model.safetensors"
    assert (tmp_path / "run" / last).read_bytes() == (whole / last).read_bytes()
    state = json.loads((tmp_path / "run/checkpoints/step-00000006/state.json").read_text())
    measured = [float(line["metrics/AP"]) for line in lines if line["metrics/AP"]]
    assert state["best"]["ap"] == max(measured)
    # Curves are those of the best weights: drawn again only where a validation is better.
    better = [ap for place, ap in enumerate(measured) if ap > max(measured[:place], default=-1)]
    assert drawn == [tmp_path / "run"] * len(better)


@pytest.mark.slow
def test_a_validation_cut_off_by_an_interruption_is_made_up_for(recipe: Recipe, tmp_path: Path) -> None:
    validated = replace(recipe, training=replace(recipe.training, steps=2, log_every=1, validate_every=1))
    train(validated, tmp_path / "whole", quiet=True)
    folder = tmp_path / "run"
    train_until_interrupted(validated, folder, lambda: (folder / "train_batch0.jpg").exists())
    state = json.loads(max((folder / "checkpoints").iterdir()).joinpath("state.json").read_text())
    assert state["is_reported"] is False
    resume(validated, folder, quiet=True)
    assert_same_run(tmp_path / "whole", folder, steps=2)
    best = "weights/best/model.safetensors"
    assert (folder / best).read_bytes() == (tmp_path / "whole" / best).read_bytes()


@pytest.mark.slow
def test_the_best_weights_are_those_of_the_highest_ap(recipe: Recipe, tmp_path: Path) -> None:
    validated = replace(recipe, training=replace(recipe.training, validate_every=2))
    train(validated, tmp_path / "run", quiet=True)
    step = json.loads((tmp_path / "run/checkpoints/step-00000006/state.json").read_text())["best"]["step"]
    model = load_model(tmp_path / "run/weights/best").model
    kept = {path.name: path for path in (tmp_path / "run/checkpoints").iterdir()}
    if f"step-{step:08d}" in kept:
        at_best = load_file(kept[f"step-{step:08d}"] / "model.safetensors")
        assert all(torch.equal(tensor, at_best[name]) for name, tensor in model.state_dict().items())
    else:
        assert step == 2


@pytest.mark.slow
def test_a_split_without_truth_or_with_other_classes_is_not_validated_on(
    recipe: Recipe, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.INFO)
    root = tmp_path / "data"
    write_youtube_vis(root, split="train")
    document = write_youtube_vis(root, split="valid")
    short = replace(
        recipe,
        data=replace(recipe.data, root=root),
        training=replace(recipe.training, steps=1, validate_every=1),
    )
    (root / "valid.json").write_text(json.dumps({**document, "annotations": None}))
    train(short, tmp_path / "run", quiet=True)
    assert "without validation" in caplog.text
    document["categories"][0]["name"] = "bear"
    (root / "valid.json").write_text(json.dumps(document))
    with pytest.raises(DataError, match="both splits need the same classes"):
        train(short, tmp_path / "other", quiet=True)
    assert not (tmp_path / "other").exists()


@pytest.mark.parametrize("is_resumed", [False, True])
def test_a_process_that_is_not_the_first_draws_numbers_of_its_own_and_of_its_step(
    is_resumed: bool, whole: Path, recipe: Recipe, tmp_path: Path
) -> None:
    """The first one goes on with the state that the checkpoint holds."""
    shutil.copytree(whole, tmp_path / "run")
    device = torch.device("cpu")
    run = TrainingRun(recipe, tmp_path / "run", Processes(rank=0, world_size=1, device=device), load_run_data(recipe))
    run.group = Processes(rank=1, world_size=3, device=device)
    run.begin(is_resumed=is_resumed)
    found = torch.rand(3)
    torch.manual_seed(recipe.training.seed + (6 * 3 if is_resumed else 0) + 1)
    assert torch.equal(found, torch.rand(3))
