"""Each dial that makes a video hard: what it claims is in the truth, and off it changes nothing."""

import json
from pathlib import Path

import numpy as np
import pytest

from maskreel.errors import UsageError
from maskreel.rendered.dials import CHANGES, MOTION_CLASSES, SyntheticDials
from maskreel.rendered.draws import Draws
from maskreel.rendered.events import changed_dials, choose_events
from maskreel.rendered.lost_frames import lose_frames
from maskreel.rendered.rendering import RenderedVideo, render_video
from maskreel.rendered.synthetic import categories, write_dataset

PAIR = {"min_objects": 2, "max_objects": 2, "exit_probability": 0.0, "lookalike_probability": 0.0}
ALONE = {"max_objects": 1, "exit_probability": 0.0}


def quick(**changes: int | float | bool) -> SyntheticDials:
    """Videos of full length at half the resolution."""
    return SyntheticDials(height=48, width=80, **changes)


def videos(dials: SyntheticDials, count: int, seed: int = 21) -> list[RenderedVideo]:
    return [render_video(seed, index, dials) for index in range(count)]


def centres(masks: np.ndarray) -> np.ndarray:
    """(row, column) of an object's pixels in every frame of `t h w` in which it shows; nan elsewhere."""
    return np.array([np.argwhere(mask).mean(axis=0) if mask.any() else (np.nan, np.nan) for mask in masks])


def colour_difference(video: RenderedVideo, t: int = 0) -> float:
    """Between the mean colours of the first two objects."""
    first, second = (video.frames[t][video.masks[k, t]].mean(axis=0) for k in (0, 1))
    return float(np.abs(first - second).max())


def test_the_pair_that_meets_is_the_pair_that_looks_alike() -> None:
    dials = quick(**PAIR | {"max_objects": 4}, occlusion_probability=1.0, lookalikes_meet=1.0)
    for index in range(30):
        events = choose_events(Draws(5, index, 0), dials, frozenset())
        assert events.meeting is not None
        assert events.lookalikes == events.meeting


def test_look_alikes_that_meet_share_class_and_colours_and_lose_pixels_to_each_other() -> None:
    met = videos(quick(**PAIR, occlusion_probability=1.0, lookalikes_meet=1.0), 8)
    named = [video for video in met if "lookalikes_meet" in video.dials]
    assert len(named) >= 6
    for video in named:
        assert {"lookalike", "occlusion"} <= set(video.dials)
        assert video.labels[0] == video.labels[1]
        assert colour_difference(video) < 20
    apart = videos(quick(**PAIR, occlusion_probability=1.0), 8)
    assert not any({"lookalike", "lookalikes_meet"} & set(video.dials) for video in apart)
    assert np.median([colour_difference(video) for video in apart]) > 30


def test_half_of_the_meetings_are_among_look_alikes_at_a_half() -> None:
    dials = quick(**PAIR, occlusion_probability=1.0, lookalikes_meet=0.5)
    meets = [choose_events(Draws(6, index, 0), dials, frozenset()).is_alike_meeting for index in range(200)]
    assert 0.4 < np.mean(meets) < 0.6


@pytest.mark.slow
def test_crossing_objects_pass_beside_each_other_by_the_distance_asked_for() -> None:
    near = {}
    for distance in (0.0, 0.6):
        dials = quick(
            **PAIR, occlusion_probability=1.0, crossing_probability=1.0, passing_distance=distance, scale_change=1.0
        )
        gaps = []
        for video in videos(dials, 10):
            first, second = (centres(masks) for masks in video.masks)
            radii = sum(np.sqrt(masks[0].sum() / np.pi) for masks in video.masks)
            gaps.append(np.nanmin(np.linalg.norm(first - second, axis=1)) / radii)
        near[distance] = np.median(gaps)
    assert near[0.0] < 0.4
    assert 0.5 < near[0.6] < 1.1


@pytest.mark.slow
def test_an_object_is_away_for_five_frames_up_to_the_dial() -> None:
    dials = quick(
        **PAIR | {"exit_probability": 1.0}, return_probability=1.0, occlusion_probability=0.0, frames=96, absence=60
    )
    away = []
    for index in range(10):
        video = render_video(31, index, dials)
        assert "return" in video.dials
        gone = [~masks.any(axis=(1, 2)) for masks in video.masks]
        (leaver,) = [row for row in gone if row.any()]
        frames = np.flatnonzero(leaver)
        assert frames[-1] - frames[0] + 1 == len(frames), "one absence"
        assert not leaver[0]
        assert not leaver[-1]
        away.append(len(frames))
    assert min(away) >= 5
    assert max(away) <= 60
    assert max(away) - min(away) > 25


@pytest.mark.parametrize("absence", [5, 9])
def test_short_absences_are_as_long_as_asked_for_but_for_two_frames(absence: int) -> None:
    dials = quick(**ALONE | {"exit_probability": 1.0}, return_probability=1.0, frames=40, absence=absence)
    for video in videos(dials, 5):
        assert abs((~video.masks[0].any(axis=(1, 2))).sum() - absence) <= 2


def test_absences_below_the_shortest_are_refused() -> None:
    with pytest.raises(UsageError, match="--absence is 4; allowed is 5 frames or more, or 0"):
        SyntheticDials(absence=4)


@pytest.mark.parametrize("frames", [8, 12, 40])
def test_short_videos_hold_shorter_absences(frames: int) -> None:
    dials = quick(**ALONE | {"exit_probability": 1.0}, return_probability=1.0, frames=frames, absence=60)
    for video in videos(dials, 4):
        gone = ~video.masks[0].any(axis=(1, 2))
        assert gone.any()
        assert not gone[0]
        assert not gone[-1]


def test_who_comes_back_has_a_look_alike_in_view_where_there_are_look_alikes() -> None:
    dials = quick(
        **PAIR | {"max_objects": 4, "lookalike_probability": 1.0, "exit_probability": 1.0},
        return_probability=1.0,
        occlusion_probability=0.0,
        frames=96,
        absence=30,
    )
    for index in range(30):
        events = choose_events(Draws(7, index, 0), dials, frozenset())
        assert events.lookalikes is not None
        assert events.leaver in events.lookalikes
        assert events.lookalikes[0] != events.lookalikes[1]


def test_lost_frames_are_as_many_as_asked_for_and_are_what_they_are_called() -> None:
    calm = quick(**PAIR, occlusion_probability=0.0)
    lost = quick(**PAIR, occlusion_probability=0.0, dropped_frames=0.5)
    kinds = [0, 0]
    for index in range(6):
        before, after = render_video(41, index, calm), render_video(41, index, lost)
        assert "dropped" in after.dials
        assert "dropped" not in before.dials
        assert len(after.noise_frames) + len(after.frozen_frames) == 6
        assert 0 not in {*after.noise_frames, *after.frozen_frames}
        for t in range(12):
            if t in after.frozen_frames:
                assert np.array_equal(after.frames[t], after.frames[t - 1])
                assert np.array_equal(after.masks[:, t], after.masks[:, t - 1])
                continue
            assert np.array_equal(after.masks[:, t], before.masks[:, t]), "the truth goes on"
            assert np.array_equal(after.frames[t], before.frames[t]) == (t not in after.noise_frames)
            if t in after.noise_frames:
                assert abs(after.frames[t].mean() - 127.5) < 2
                assert abs(np.corrcoef(after.frames[t][:, :-1].ravel(), after.frames[t][:, 1:].ravel())[0, 1]) < 0.05
        kinds[0] += len(after.noise_frames)
        kinds[1] += len(after.frozen_frames)
    assert min(kinds) > 6


@pytest.mark.parametrize(("share", "count"), [(0.0, 0), (0.1, 1), (0.9, 9), (0.04, 0)])
def test_the_share_of_lost_frames_is_rounded_to_frames(share: float, count: int) -> None:
    frames, masks = np.zeros((10, 4, 4, 3), dtype=np.uint8), np.zeros((1, 10, 4, 4), dtype=bool)
    lost = lose_frames(Draws(1), share, frames, masks)
    assert len(lost.noise) + len(lost.frozen) == count
    assert not set(lost.noise) & set(lost.frozen)


def test_a_video_of_one_frame_loses_none() -> None:
    video = render_video(1, 0, SyntheticDials(frames=1, height=48, width=80, dropped_frames=0.9))
    assert video.noise_frames == video.frozen_frames == ()


def test_lost_frames_stand_in_the_annotation_file(tmp_path: Path) -> None:
    for name, share in (("lost", 0.4), ("whole", 0.0)):
        write_dataset(tmp_path / name, "train", num_videos=2, seed=3, dials=quick(frames=8, dropped_frames=share))
        for index, entry in enumerate(json.loads((tmp_path / name / "train.json").read_text())["videos"]):
            video = render_video(3, index, quick(frames=8, dropped_frames=share))
            assert entry.get("noise_frames", []) == list(video.noise_frames)
            assert entry.get("frozen_frames", []) == list(video.frozen_frames)
            assert ("noise_frames" in entry) == (share > 0)


@pytest.mark.slow
def test_true_tracks_tell_motion_classes_apart_and_no_single_frame_does() -> None:
    rises, labels, looks = [], [], []
    for video in videos(quick(motion_class=True, min_objects=2, max_objects=3), 24):
        for label, masks in zip(video.labels, video.masks, strict=True):
            track = centres(masks)
            rises.append(track[-1, 0] < track[0, 0])
            labels.append(label)
            rows, columns = (masks.any(axis=axis) for axis in (2, 1))
            box = np.stack([rows.argmax(1), 48 - rows[:, ::-1].argmax(1), columns.argmax(1), columns.sum(1)], axis=1)
            colours = np.array([video.frames[t][masks[t]].mean(axis=0) for t in range(12)])
            looks.append(np.concatenate([track, box, masks.sum((1, 2))[:, None], colours], axis=1))
    is_sinking = np.array(labels) == MOTION_CLASSES.index("sinking")
    assert 0.35 < is_sinking.mean() < 0.65
    assert (is_sinking != np.array(rises)).mean() >= 0.95

    features = np.array(looks)
    features = (features - features.mean((0, 1))) / features.std((0, 1))
    half = len(features) // 2
    seen, known = features[:half].reshape(-1, features.shape[2]), np.repeat(is_sinking[:half], 12)
    asked, answers = features[half:].reshape(-1, features.shape[2]), np.repeat(is_sinking[half:], 12)
    nearest = np.argsort(((asked[:, None] - seen) ** 2).sum(2), axis=1)[:, :9]
    accuracy = ((known[nearest].mean(1) > 0.5) == answers).mean()
    assert accuracy < 0.62, "a single frame gives the class away"


@pytest.mark.slow
def test_motion_classes_are_each_other_played_backwards() -> None:
    """Mean height over the video is the same, so nothing but the order of frames tells them apart."""
    heights: dict[int, list[float]] = {0: [], 1: []}
    for video in videos(quick(motion_class=True, max_objects=1), 40):
        heights[int(video.labels[0])].append(float(centres(video.masks[0])[:, 0].mean()))
    assert abs(np.mean(heights[0]) - np.mean(heights[1])) < 3


def test_motion_classes_are_the_categories_and_nothing_meets_or_leaves(tmp_path: Path) -> None:
    dials = quick(motion_class=True, occlusion_probability=1.0, exit_probability=1.0, frames=6)
    assert categories(dials) == [(9, "rising"), (10, "sinking")]
    write_dataset(tmp_path, "train", num_videos=4, seed=2, dials=dials)
    content = json.loads((tmp_path / "train.json").read_text())
    assert content["categories"] == [{"id": 9, "name": "rising"}, {"id": 10, "name": "sinking"}]
    assert {track["category_id"] for track in content["annotations"]} == {9, 10}
    words = {word for video in content["videos"] for word in video["dials"]}
    assert not words & {"crossing", "entry", "exit", "return"}


def contrast(video: RenderedVideo) -> float:
    """Between an object and the ring around it."""
    differences = []
    for frame, mask in zip(video.frames.astype(float), video.masks[0], strict=True):
        near = mask.copy()
        for _ in range(4):
            near |= np.roll(near, 1, 0) | np.roll(near, -1, 0) | np.roll(near, 1, 1) | np.roll(near, -1, 1)
        differences.append(np.abs(frame[mask].mean(axis=0) - frame[near & ~mask].mean(axis=0)).sum())
    return float(np.mean(differences))


def test_camouflaged_objects_hardly_stand_out_and_keep_their_masks() -> None:
    plain, hidden = (videos(quick(**ALONE, camouflage=share), 8) for share in (0.0, 1.0))
    for one, other in zip(plain, hidden, strict=True):
        assert np.array_equal(one.masks, other.masks)
        assert "camouflage" in other.dials
    ratios = [contrast(other) / contrast(one) for one, other in zip(plain, hidden, strict=True)]
    assert np.median(ratios) < 0.5
    assert max(ratios) < 0.9


def test_camouflaged_look_alikes_still_look_alike() -> None:
    dials = quick(**PAIR | {"lookalike_probability": 1.0}, occlusion_probability=0.0, camouflage=1.0)
    assert max(colour_difference(video) for video in videos(dials, 4)) < 20


@pytest.mark.parametrize("word", ["shadow", "reflection"])
def test_shadows_and_mirror_images_change_pixels_outside_the_masks_alone(word: str) -> None:
    plain, other = (videos(quick(**ALONE, **{word: share}), 4) for share in (0.0, 1.0))
    for one, two in zip(plain, other, strict=True):
        assert word in two.dials
        assert np.array_equal(one.masks, two.masks)
        is_changed = (one.frames != two.frames).any(axis=-1)
        assert is_changed.mean() > 0.005
        inside = one.masks[0].copy()
        for axis in (1, 2):  # pixels that the object covers in part show what is behind it
            inside &= np.roll(one.masks[0], 1, axis) & np.roll(one.masks[0], -1, axis)
        assert not (is_changed & inside).any()
        if word == "shadow":
            assert (two.frames <= one.frames).all()


def sizes(video: RenderedVideo) -> np.ndarray:
    """Square root of the pixels of the only object, per frame."""
    return np.sqrt(video.masks[0].sum(axis=(1, 2)))


def elongation(video: RenderedVideo) -> np.ndarray:
    """Ratio of the axes of the only object, per frame."""
    ratios = []
    for mask in video.masks[0]:
        values = np.linalg.eigvalsh(np.cov(np.argwhere(mask).T))
        ratios.append(np.sqrt(values[1] / values[0]))
    return np.array(ratios)


def test_a_word_for_scale_says_that_sizes_change_by_two() -> None:
    inner = {"max_size": 0.4, "speed": 0.0, "scale_change": 1.0, "aspect_change": 1.0}
    calm, changing = (videos(quick(**ALONE, **inner, scale=share), 8) for share in (0.0, 1.0))
    assert max(np.ptp(np.log(sizes(video))) for video in calm) < np.log(1.3)
    assert min(np.ptp(np.log(sizes(video))) for video in changing) > np.log(1.8)
    assert all("scale" in video.dials for video in changing)


@pytest.mark.parametrize("word", ["aspect", "viewpoint"])
def test_words_for_aspect_and_viewpoint_say_that_objects_become_long(word: str) -> None:
    inner = {"classes": 1, "deformation": 0.0, "aspect_change": 1.0, "speed": 0.0}
    calm, changing = (videos(quick(**ALONE, **inner, **{word: share}), 8) for share in (0.0, 1.0))
    assert max(elongation(video).max() for video in calm) < 1.15
    assert min(elongation(video).max() for video in changing) > 1.4
    assert all(word in video.dials for video in changing)


@pytest.mark.slow
def test_objects_of_fast_videos_move_three_times_as_far() -> None:
    steps = {}
    for share in (0.0, 1.0):
        moved = videos(quick(**ALONE, max_size=0.35, fast=share), 16)
        assert all(("fast" in video.dials) == (share == 1.0) for video in moved)
        steps[share] = np.mean(
            [np.linalg.norm(np.diff(centres(video.masks[0]), axis=0), axis=1).mean() for video in moved]
        )
    assert 2.2 < steps[1.0] / steps[0.0] < 3.8


@pytest.mark.parametrize("word", CHANGES)
def test_words_are_drawn_per_video_and_alone(word: str) -> None:
    dials = SyntheticDials(**{word: 0.5})
    drawn = [changed_dials(Draws(8, index, 4), dials)[1] for index in range(200)]
    assert set(drawn) == {frozenset(), frozenset({word})}
    assert 0.4 < np.mean([word in words for words in drawn]) < 0.6


def test_drawing_one_change_leaves_who_and_where_as_they_are() -> None:
    plain, shaded = (render_video(9, 3, quick(shadow=share)) for share in (0.0, 1.0))
    assert np.array_equal(plain.masks, shaded.masks)
    assert np.array_equal(plain.labels, shaded.labels)
