"""What `import maskreel` offers: every name, used once as `tests/typing/public_names.py` has it for strict types."""

import subprocess
import sys
from fractions import Fraction
from importlib.metadata import version
from pathlib import Path

import numpy as np
import pytest

import maskreel
from maskreel.errors import OptionError, UsageError
from maskreel.inference.options import OptionChanges, PredictorOptions
from maskreel.inference.predictor import VideoPredictor
from maskreel.recipes.catalog import find_recipe
from maskreel.rendered.rendering import render_video
from maskreel.rendered.synthetic import SyntheticDials
from maskreel.visualize.video import TimedImage, write_video
from tests.typing import public_names

NAMES = {
    *("Masklet", "Masklets", "VideoPredictor", "__version__", "build_model", "draw", "evaluate", "load", "open_video"),
    *("render_dataset", "score", "train"),
}


def test_every_public_name_can_be_imported() -> None:
    assert set(maskreel.__all__) == set(dir(maskreel)) == NAMES
    for name in NAMES - {"__version__"}:
        assert getattr(maskreel, name).__name__ == name
    assert maskreel.load is VideoPredictor.load
    assert maskreel.__version__ == version("maskreel")


def test_an_unknown_name_is_refused() -> None:
    with pytest.raises(AttributeError, match="VideoPredicter"):
        maskreel.VideoPredicter  # noqa: B018  # pyright: ignore[reportAttributeAccessIssue]


def test_importing_the_package_does_not_import_torch() -> None:
    code = "import sys, maskreel, maskreel.cli.main, maskreel.inference.options; sys.exit('torch' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0


def test_the_predictor_does_without_the_loader_of_training_clips() -> None:
    code = "import sys, maskreel.inference.predictor; sys.exit(any('maskreel.data' in name for name in sys.modules))"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0


def test_the_types_are_shipped() -> None:
    assert (Path(maskreel.__file__).parent / "py.typed").exists()


@pytest.mark.slow
def test_data_is_rendered_trained_on_and_scored(tmp_path: Path) -> None:
    train, valid = public_names.prepare_data(tmp_path / "data")
    assert (train, valid) == (tmp_path / "data/train.json", tmp_path / "data/valid.json")
    overall = public_names.train_and_measure(tmp_path / "data", tmp_path / "results.json")
    assert overall["AP"] is not None
    stored = find_recipe("seqformer-tiny")
    assert (tmp_path / "data/run/weights/last/model.safetensors").exists()
    assert stored.training.steps > 1


def test_a_video_is_predicted_in_every_form_and_looked_at(tmp_path: Path) -> None:
    video = render_video(11_000, 0, SyntheticDials(frames=4, min_objects=4))
    images = (TimedImage(t / 5, picture) for t, picture in enumerate(video.frames))
    write_video(tmp_path / "a.mp4", images, frame_rate=Fraction(5))
    masklets = public_names.predict(tmp_path / "a.mp4")
    assert (masklets.decoded, len(masklets) > 0) == (4, True)
    overlay = public_names.look(masklets, video.frames[0], tmp_path)
    assert overlay.shape == video.frames[0].shape
    assert not np.array_equal(overlay, video.frames[0])


def test_a_model_can_be_built_for_other_classes() -> None:
    recipe = find_recipe("seqformer-tiny")
    sizes = {
        public_names.count_parameters(),
        sum(parameter.numel() for parameter in maskreel.build_model(recipe.model, num_classes=3).parameters()),
        sum(parameter.numel() for parameter in maskreel.build_model(recipe, num_classes=3).parameters()),
    }
    assert len(sizes) == 1
    assert sizes != {sum(parameter.numel() for parameter in maskreel.build_model("seqformer-tiny").parameters())}


def test_options_of_load_are_those_of_the_predictor() -> None:
    assert OptionChanges.__annotations__ == PredictorOptions.__annotations__
    predictor = maskreel.load("bundled", clip_frames=7, clip_overlap=2, min_score=0.25)
    options = predictor.options
    assert (options.clip_frames, options.clip_overlap, options.min_score, options.short_side) == (7, 2, 0.25, 96)
    assert maskreel.load("bundled", options=PredictorOptions(top_k=3), short_side=64).options == PredictorOptions(
        top_k=3, short_side=64
    )


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"clip_frame": 5}, "clip_frame: unknown key; did you mean 'clip_frames'"),
        ({"clip_frames": 0}, "clip_frames 0: must be at least 1"),
        ({"clip_frames": "5"}, "clip_frames: expected an integer, got '5'"),
        ({"clip_frames": 4, "clip_overlap": 4}, "clip_overlap 4: must be at least 0 and below clip_frames 4"),
        ({"short_clips": "padd"}, "short_clips: 'padd' is not one of 'pad', 'repeat'; did you mean 'pad'"),
        ({"precision": "fp8"}, "precision: 'fp8' is not one of 'float32', 'bf16'"),
    ],
)
def test_an_option_that_there_is_not_is_refused_with_the_nearest(options: dict[str, object], message: str) -> None:
    with pytest.raises(OptionError, match=f"^option {message}"):
        maskreel.load("bundled", **options)  # pyright: ignore[reportArgumentType]


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"training.step": 5}, "training.step: unknown key; did you mean 'steps'"),
        ({"trainin.steps": 5}, "trainin: unknown key; did you mean 'training'"),
        ({"training.steps": 0}, "training: steps 0.* must be at least 1"),
        ({"name.of": 0}, "name.of: name is 'seqformer-tiny' in this recipe and has no parts"),
    ],
)
def test_an_option_of_training_that_there_is_not_is_refused(options: dict[str, object], message: str) -> None:
    with pytest.raises(OptionError, match=f"^option {message}"):
        maskreel.train("seqformer-tiny", "nowhere", options=options)


def test_words_that_name_nothing_are_refused_with_the_nearest(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="unknown recipe 'seqformer-tyni'; did you mean 'seqformer-tiny'"):
        maskreel.train("seqformer-tyni", tmp_path)
    with pytest.raises(UsageError, match="unknown recipe 'seqformer-tyni'"):
        maskreel.build_model("seqformer-tyni")
    with pytest.raises(OptionError, match="unknown metric 'hotta'; did you mean 'hota'"):
        maskreel.score(tmp_path / "a.json", tmp_path / "b.json", metrics=["ap", "hotta"])
    with pytest.raises(UsageError, match="device 'gpu' is unknown"):
        maskreel.load("bundled", device="gpu")
