"""From a video file to masklets: identities, accounts of frames, and what the model is shown."""

from itertools import count
from pathlib import Path

import numpy as np
import pytest
import torch

from maskreel.errors import UsageError, VideoReadError
from maskreel.geometry import rle
from maskreel.geometry.masklets import Masklets
from maskreel.inference.predictor import PredictorOptions, VideoPredictor, recorded_options
from maskreel.structures import Clip
from maskreel.video.files import VideoFile
from tests.inference.colour_model import CLASSES, ColourModel
from tests.video.videos import COLOURS, cut, moving_blocks, noise, write_test_video

HIDDEN = ((1, range(10, 14)), (2, range(22, 45)))
"""Block 1 is away for less than a window, block 2 for longer."""


def picture(index: int) -> np.ndarray:
    return moving_blocks(index, size=(48, 80), count=4, hidden=HIDDEN)


def predictor(**options: int | float) -> tuple[VideoPredictor, ColourModel]:
    model = ColourModel()
    chosen = {"short_side": 48, "clip_frames": 12, "clip_overlap": 3, **options}
    return VideoPredictor(model, CLASSES, PredictorOptions(**chosen)), model  # pyright: ignore[reportArgumentType]


@pytest.fixture
def video(tmp_path: Path) -> Path:
    return write_test_video(tmp_path / "blocks.mp4", num_frames=60, picture=picture)


def truth(index: int, block: int) -> np.ndarray:
    """Mask of a block as it was painted."""
    return (picture(index) == COLOURS[block]).all(axis=2)


def test_objects_keep_their_ids_through_all_windows(video: Path) -> None:
    run, model = predictor()
    result = run(video)
    assert model.lengths == [12] * 7
    assert (result.decoded, result.declared, result.width, result.height) == (60, 60, 80, 48)
    lives = {
        masklet.track_id: [frame for frame, mask in enumerate(masklet.segmentations) if mask is not None]
        for masklet in result
    }
    whole = list(range(60))
    assert sorted(lives.values()) == sorted(
        [whole, whole, [frame for frame in whole if frame not in HIDDEN[0][1]], list(range(22)), list(range(45, 60))]
    )
    assert sorted(lives) == [1, 2, 3, 4, 5]


def test_masks_lie_on_the_objects_in_every_frame(video: Path) -> None:
    result = predictor()[0](video)
    for frame in (0, 11, 12, 30, 59):
        masks = result.masks(frame)
        for block in range(4):
            expected = truth(frame, block)
            if expected.any():
                overlap = max((mask & expected).sum() / (mask | expected).sum() for mask in masks)
                assert overlap > 0.6, (frame, block)


def test_memory_of_frames_is_bounded_by_two_windows(video: Path) -> None:
    """A window is predicted as soon as its frames are there, not when the video has ended."""
    run, model = predictor()
    seen = []
    run.predict(VideoFile(video), on_frames=lambda frames: seen.append(len(model.lengths)))
    assert seen[11:14] == [0, 1, 1]
    assert seen[-1] == 6


def test_a_stream_yields_the_same_masks_frame_by_frame(video: Path) -> None:
    result = predictor()[0](video)
    expected = [
        {masklet.track_id: mask for masklet in result if (mask := masklet.segmentations[frame]) is not None}
        for frame in range(60)
    ]
    streamed = list(predictor()[0].stream(video))
    assert [frame.index for frame in streamed] == list(range(60))
    assert [frame.time for frame in streamed] == list(result.timestamps)
    assert [{seen.track_id: seen.mask for seen in frame.objects} for frame in streamed] == expected
    assert {seen.label for frame in streamed for seen in frame.objects} == {0, 1, 2}


def test_a_stream_hands_frames_out_before_the_video_ends(video: Path) -> None:
    run, model = predictor()
    frames = run.stream(video)
    for number in count():
        next(frames)
        if number == 8:
            break
    assert len(model.lengths) == 2
    frames.close()


@pytest.mark.slow
def test_the_same_video_gives_the_same_bytes(video: Path, tmp_path: Path) -> None:
    for name in ("a.json", "b.json"):
        predictor()[0](video).save(tmp_path / name)
    assert (tmp_path / "a.json").read_bytes() == (tmp_path / "b.json").read_bytes()
    assert Masklets.load(tmp_path / "a.json").to_dict() == predictor()[0](video).to_dict()


def test_objects_below_the_score_are_left_out_of_masklets_but_not_of_pairs(video: Path) -> None:
    result = predictor()[0].predict(VideoFile(video))
    faint = 1 / (1 + np.exp(4.0))
    assert len(result.masklets(0.96)) == 0
    assert len(result.masklets(0.3)) == 5
    pairs = result.pairs()
    assert len(pairs) > 5
    assert pairs.scores.min() == pytest.approx(faint, rel=1e-4)
    assert (np.diff(pairs.scores) <= 0).all()


def test_frames_are_shown_at_the_short_side_and_padded(video: Path) -> None:
    run, model = predictor(short_side=40, clip_frames=60)
    run(video)
    (clips,) = model.shown
    assert clips.frames.shape == (1, 60, 3, 64, 96)
    assert (~clips.is_padding).sum() == 60 * 40 * 66


def test_a_very_long_side_is_shrunk_to_four_short_sides(tmp_path: Path) -> None:
    path = write_test_video(tmp_path / "a.mp4", num_frames=2, picture=lambda i: moving_blocks(i, size=(16, 320)))
    run, model = predictor(short_side=32)
    result = run(path)
    assert model.shown[0].frames.shape == (1, 2, 3, 32, 128)
    assert (~model.shown[0].is_padding[0, 0]).sum() == 6 * 120
    assert (result.height, result.width) == (16, 320)


def test_a_short_video_is_one_short_clip(tmp_path: Path) -> None:
    run, model = predictor()
    assert run(write_test_video(tmp_path / "a.mp4", num_frames=1)).decoded == 1
    assert model.lengths == [1]


def test_lost_frames_are_listed_in_the_result(tmp_path: Path) -> None:
    path = cut(write_test_video(tmp_path / "a.mp4", num_frames=40, picture=noise, faststart=True), 0.6)
    result = predictor()[0](path)
    assert result.declared == 40
    assert result.decoded + len(result.skipped) == 40
    assert 0 < result.decoded < 40


def test_a_file_without_frames_is_an_error(tmp_path: Path) -> None:
    (tmp_path / "a.mp4").touch()
    with pytest.raises(VideoReadError, match="is empty"):
        predictor()[0](tmp_path / "a.mp4")
    with pytest.raises(UsageError, match="no such file"):
        predictor()[0](tmp_path / "b.mp4")


def test_one_clip_can_be_searched_alone() -> None:
    frames = torch.from_numpy(np.stack([picture(0), picture(1)])).permute(0, 3, 1, 2)
    detections = predictor()[0].find(Clip(frames=frames, frame_index=torch.arange(2), video_id=0, size=(96, 160)))
    assert len(detections) == 4
    assert all(mask is None or (mask.height, mask.width) == (96, 160) for masks in detections.masks for mask in masks)
    areas = [rle.area(mask) for masks in detections.masks if (mask := masks[0])]
    assert areas == pytest.approx([4 * 16 * 11] * 4, rel=0.4)


def test_options_recorded_with_a_model_hold_until_they_are_changed() -> None:
    recorded = {"short_side": 96, "clip_frames": 12, "clip_overlap": 4, "top_k": 10, "min_score": 0.0, "other": 1}
    options = recorded_options(recorded, clip_overlap=None, top_k=5)
    assert options == PredictorOptions(short_side=96, clip_frames=12, clip_overlap=4, top_k=5, min_score=0.3)
    assert recorded_options({}) == PredictorOptions()


@pytest.mark.parametrize(
    ("name", "value"), [("short_side", 3), ("clip_frames", 0), ("clip_overlap", 36), ("top_k", 0), ("min_score", 1.5)]
)
def test_options_out_of_range_are_refused(name: str, value: float) -> None:
    with pytest.raises(ValueError, match=f"{name} {value}: must"):
        PredictorOptions(**{name: value})  # pyright: ignore[reportArgumentType]
