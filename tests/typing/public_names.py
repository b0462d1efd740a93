"""Every public name as a program with strict types uses it; pyright checks this file, a test runs it."""

from collections.abc import Iterator
from pathlib import Path
from typing import assert_type

import numpy as np
from PIL import Image

import maskreel
from maskreel import Masklet, Masklets, VideoPredictor


def prepare_data(folder: Path) -> tuple[Path, Path]:
    train = maskreel.render_dataset(folder, videos=2, split="train", seed=1)
    valid = maskreel.render_dataset(str(folder), videos=1, split="valid", seed=10_000)
    return train, valid


def train_and_measure(folder: Path, results: Path) -> dict[str, float | None]:
    run = maskreel.train(
        "seqformer-tiny",
        folder,
        out=folder / "run",
        steps=1,
        device="cpu",
        options={"data.workers": 0, "data.batch_size": 1, "training.validate_every": 0},
        quiet=True,
    )
    evaluation = maskreel.evaluate(run, folder, split="valid", device="cpu", clip_frames=6, clip_overlap=2)
    evaluation.save_results(results)
    report = maskreel.score(folder / "valid.json", results, metrics=("ap", "hota"))
    assert report["ap"]["AP"] == evaluation.overall["AP"]
    return evaluation.overall


def camera(pictures: list[np.ndarray]) -> Iterator[np.ndarray]:
    yield from pictures


def predict(video: Path) -> Masklets:
    predictor: VideoPredictor = maskreel.load("bundled", device="cpu", min_score=0.5)
    source = maskreel.open_video(video, frame_rate=5)
    pixels = [frame.pixels for frame in source]
    masklets = predictor(video)
    for other in (predictor(np.stack(pixels)), predictor(camera(pixels)), predictor(map(Image.fromarray, pixels))):
        assert other.to_youtube_vis(1) == masklets.to_youtube_vis(1)
    session = predictor.session()
    seen = [one for image in pixels for frame in session.push(image, time=0) for one in frame.objects]
    seen += [one for frame in session.finish() for one in frame.objects]
    assert_type(seen[0].track_id, int)
    return session.result()


def look(masklets: Masklets, pixels: np.ndarray, folder: Path) -> np.ndarray:
    first: Masklet = masklets[0]
    assert_type(masklets[1:], tuple[Masklet, ...])
    for masklet in masklets:
        assert masklets.name(masklet)
    arrays = masklets.to_arrays(frames=[0, 1])
    assert arrays.masks.shape[:2] == (len(masklets), 2)
    assert first.track_id in {annotation["track_id"] for annotation in masklets.to_coco()["annotations"]}
    masklets.save(folder / "a.json")
    assert Masklets.load(folder / "a.json") == masklets
    return maskreel.draw(pixels, masklets, 0)


def count_parameters() -> int:
    model = maskreel.build_model("seqformer-tiny", num_classes=3)
    return sum(parameter.numel() for parameter in model.parameters())


def version() -> str:
    return maskreel.__version__
