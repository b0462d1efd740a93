"""`--data.decode scaled`: JPEG frames decoded at the size that the augmentation asks for; all but pixels stays."""

from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from maskreel.data.augment import Augmentation
from maskreel.data.config import Decode
from maskreel.data.loading import TrainingSet
from maskreel.data.sampling import ClipToken
from maskreel.data.youtube_vis import YouTubeVIS
from tests.builders import write_youtube_vis

SIZE = (96, 160)
HALF = Augmentation(scales=(48,), max_size=80, crop_probability=0.0)
CROPPED = Augmentation(scales=(24, 96), max_size=400, crop_probability=0.5, crop_scales=(40, 96), crop_sides=(20, 60))


def as_jpeg(root: Path, *, orientation: int = 1) -> None:
    """The same frames with soft colours, in files of another format under the old names."""
    shade = np.add.outer(np.arange(SIZE[0]), np.arange(SIZE[1])).astype(np.uint8)
    for path in (root / "train" / "JPEGImages").rglob("*.png"):
        picture = Image.fromarray(np.asarray(Image.open(path)) // 2 + shade[..., None] // 2)
        exif = Image.Exif()
        if orientation == 6:
            picture, exif[0x0112] = picture.transpose(Image.Transpose.ROTATE_90), 6
        picture.save(path, format="JPEG", quality=95, exif=exif)


@pytest.fixture
def root(tmp_path: Path) -> Path:
    write_youtube_vis(tmp_path, size=SIZE)
    as_jpeg(tmp_path)
    return tmp_path


def training_set(root: Path, decode: Decode, augmentation: Augmentation = HALF) -> TrainingSet:
    dataset = YouTubeVIS.load(root, "train")
    return TrainingSet(dataset, num_frames=3, augmentation=augmentation, seed=1, decode=decode)


@pytest.mark.parametrize(
    ("at_least", "decoded"),
    [((48, 80), (48, 80)), ((49, 80), SIZE), ((48, 81), SIZE), ((24, 40), (24, 40)), ((1, 1), (12, 20)), (SIZE, SIZE)],
)
def test_frames_are_decoded_at_the_least_size_that_holds_what_is_asked_for(
    root: Path, at_least: tuple[int, int], decoded: tuple[int, int]
) -> None:
    frames = YouTubeVIS.load(root, "train").decode_frames(0, [0, 1], at_least=at_least)
    assert frames.shape == (2, 3, *decoded)


def test_a_frame_that_lies_on_its_side_is_decoded_at_the_size_that_it_is_shown_at(tmp_path: Path) -> None:
    write_youtube_vis(tmp_path, size=SIZE)
    as_jpeg(tmp_path, orientation=6)
    dataset = YouTubeVIS.load(tmp_path, "train")
    assert dataset.decode_frames(0, [0]).shape == (1, 3, *SIZE)
    assert dataset.decode_frames(0, [0], at_least=(40, 80)).shape == (1, 3, 48, 80)
    assert dataset.decode_frames(0, [0], at_least=(60, 60)).shape == (1, 3, *SIZE)


@pytest.mark.parametrize("augmentation", [HALF, CROPPED])
def test_targets_and_draws_stay_and_pixels_hardly_change(root: Path, augmentation: Augmentation) -> None:
    exact, scaled = (training_set(root, decode, augmentation) for decode in ("exact", "scaled"))
    differences = []
    for index in range(8):
        token = ClipToken(epoch=0, index=index)
        (clip, target), (other, same) = exact[token], scaled[token]
        assert clip.frames.shape == other.frames.shape
        for name in ("labels", "boxes", "masks", "is_visible", "track_id"):
            assert torch.equal(getattr(target, name), getattr(same, name)), name
        differences.append((clip.frames.float() - other.frames.float()).abs().mean())
    assert 0 < max(differences) < 6


def test_other_formats_are_decoded_in_full(tmp_path: Path) -> None:
    write_youtube_vis(tmp_path, size=SIZE)
    dataset = YouTubeVIS.load(tmp_path, "train")
    assert torch.equal(dataset.decode_frames(0, [0, 2], at_least=(10, 10)), dataset.decode_frames(0, [0, 2]))
    # One frame of a JPEG clip is a PNG: all come in full.
    first = tmp_path / "train" / "JPEGImages" / "video0" / "00000.png"
    picture = Image.open(first).copy()
    as_jpeg(tmp_path)
    picture.save(first)
    assert dataset.decode_frames(0, [0, 2], at_least=(10, 10)).shape == (2, 3, *SIZE)


def test_without_augmentation_nothing_is_scaled(root: Path) -> None:
    dataset = YouTubeVIS.load(root, "train")
    clips = TrainingSet(dataset, num_frames=2, augmentation=None, seed=0, decode="scaled")
    assert clips[ClipToken(epoch=0, index=0)][0].frames.shape == (2, 3, *SIZE)
