"""Augmentation: frames, masks and boxes move together, draws stay in their ranges, colours follow closed forms."""

import colorsys
from dataclasses import replace

import numpy as np
import pytest
import torch
from torch import Tensor

from maskreel.config import from_dict, to_dict
from maskreel.data.augment import Augmentation, _distorted, _draw_distortions, augment, drop_absent, resize_clip
from maskreel.geometry.masks import boxes_from_masks
from maskreel.structures import Clip, ClipTarget
from maskreel.video.prepare import fit_size, resize_frames

SMALL = Augmentation(scales=(48, 64), max_size=110, crop_scales=(56, 72), crop_sides=(40, 60), photometric="none")
NOTHING = Augmentation(flip_probability=0.0, crop_probability=0.0, photometric="none", scales=(60,), max_size=1000)


def coloured_clip(num_frames: int = 3, size: tuple[int, int] = (60, 100)) -> tuple[Clip, ClipTarget]:
    """Grey frames with a red rectangle that moves and a green square that only the last frame shows."""
    height, width = size
    masks = torch.zeros(2, num_frames, height, width, dtype=torch.bool)
    for t in range(num_frames):
        masks[0, t, 10:40, 20 + 5 * t : 50 + 5 * t] = True
    masks[1, -1, 44:56, 78:90] = True
    frames = torch.full((num_frames, 3, height, width), 90, dtype=torch.uint8)
    for channel, mask in enumerate(masks):
        frames[:, channel] = torch.where(mask, 255, frames[:, channel])
    boxes = boxes_from_masks(masks)
    target = ClipTarget(
        labels=torch.tensor([3, 1]),
        boxes=boxes,
        masks=masks,
        is_visible=boxes[..., 2] > 0,
        track_id=torch.tensor([8, 9]),
    )
    clip = Clip(frames=frames, frame_index=torch.arange(num_frames), video_id=1, size=size)
    return clip, target


def overlap_with_colour(clip: Clip, target: ClipTarget) -> list[float]:
    """Per object, the IoU of its masks with the pixels of its colour; objects are told apart by their track ids."""
    result = []
    for masks, track_id in zip(target.masks, target.track_id.tolist(), strict=True):
        is_coloured = clip.frames[:, track_id - 8] > 172
        result.append(((masks & is_coloured).sum() / (masks | is_coloured).sum()).item())
    return result


@pytest.mark.parametrize("seed", range(12))
def test_masks_and_boxes_follow_the_frames(seed):
    clip, target = augment(*coloured_clip(), SMALL, np.random.default_rng(seed))
    assert clip.frames.dtype == torch.uint8
    assert target.masks.shape[-2:] == clip.frames.shape[-2:]
    assert min(overlap_with_colour(clip, target)) > 0.85
    assert torch.equal(target.boxes, boxes_from_masks(target.masks))
    assert torch.equal(target.is_visible, target.masks.flatten(2).any(dim=-1))
    assert target.is_visible.any(dim=1).all()


def test_mirroring_turns_frames_masks_and_boxes_of_the_whole_clip():
    clip, target = coloured_clip()
    mirrored, moved = augment(clip, target, replace(NOTHING, flip_probability=1.0), np.random.default_rng(0))
    assert torch.equal(mirrored.frames, clip.frames.flip(-1))
    assert torch.equal(moved.masks, target.masks.flip(-1))
    torch.testing.assert_close(moved.boxes[0, :, 0], 1 - target.boxes[0, :, 0])
    torch.testing.assert_close(moved.boxes[0, :, 1:], target.boxes[0, :, 1:])


def test_a_clip_of_the_right_size_passes_unchanged_when_nothing_is_asked_for():
    clip, target = coloured_clip()
    same, kept = augment(clip, target, NOTHING, np.random.default_rng(0))
    assert torch.equal(same.frames, clip.frames)
    assert torch.equal(kept.masks, target.masks)
    assert torch.equal(kept.track_id, target.track_id)
    assert (same.video_id, same.size, same.frame_index.tolist()) == (1, (60, 100), [0, 1, 2])


def test_objects_cut_off_in_every_frame_are_dropped_and_others_kept():
    settings = replace(NOTHING, crop_probability=1.0, crop_scales=(60,), crop_sides=(30, 30))
    seen = {
        tuple(augment(*coloured_clip(), settings, np.random.default_rng(seed))[1].track_id.tolist())
        for seed in range(60)
    }
    assert seen == {(), (8,), (9,), (8, 9)}


def test_an_object_seen_in_one_frame_is_kept_with_empty_masks_elsewhere():
    _, target = augment(*coloured_clip(), NOTHING, np.random.default_rng(0))
    assert target.is_visible[1].tolist() == [False, False, True]
    assert target.boxes[1, :2].abs().sum() == 0


def test_dropping_the_absent_selects_every_field():
    _, target = coloured_clip()
    hidden = replace(target, is_visible=torch.tensor([[False] * 3, [False, False, True]]))
    kept = drop_absent(hidden)
    assert kept.track_id.tolist() == [9]
    assert kept.labels.tolist() == [1]
    assert torch.equal(kept.masks, target.masks[1:])
    assert torch.equal(kept.boxes, target.boxes[1:])


def test_a_clip_without_objects_is_augmented():
    clip, target = coloured_clip()
    empty = drop_absent(replace(target, is_visible=torch.zeros(2, 3, dtype=torch.bool)))
    augmented, still_empty = augment(clip, empty, SMALL, np.random.default_rng(1))
    assert still_empty.masks.shape == (0, 3, *augmented.frames.shape[-2:])
    assert still_empty.boxes.shape == (0, 3, 4)


def test_sizes_of_the_result_are_those_of_the_scales():
    clip, target = coloured_clip()
    settings = replace(SMALL, crop_probability=0.0)
    sizes = {tuple(augment(clip, target, settings, np.random.default_rng(s))[0].frames.shape[-2:]) for s in range(20)}
    assert sizes == {(48, 80), (64, 106)}


def test_windows_have_sides_within_their_range():
    settings = replace(NOTHING, crop_probability=1.0, crop_scales=(60,), crop_sides=(20, 80), scales=(20,))
    shapes = [
        augment(*coloured_clip(1), settings, np.random.default_rng(seed))[0].frames.shape[-2:] for seed in range(80)
    ]
    # The window is 20 to 60 pixels high and 20 to 80 wide; its shorter side then becomes 20.
    assert all(min(shape) == 20 for shape in shapes)
    assert 50 < max(shape[1] for shape in shapes) <= 80
    assert 40 < max(shape[0] for shape in shapes) <= 60


def test_a_window_reaches_every_side_of_its_frame():
    """Frames tell rows by their red and columns by their green; the window is one row and one column short of them."""
    settings = replace(NOTHING, crop_probability=1.0, crop_scales=(60,), crop_sides=(59, 59), scales=(59,))
    clip, target = coloured_clip(1, (60, 60))
    rows = torch.arange(60, dtype=torch.uint8)
    frames = torch.stack([rows[:, None].expand(60, 60), rows.expand(60, 60), rows.expand(60, 60)])[None]
    corners = set()
    for seed in range(40):
        window = augment(replace(clip, frames=frames), target, settings, np.random.default_rng(seed))[0].frames
        corners.add(tuple(window[0, :2, 0, 0].tolist()))
    assert corners == {(0, 0), (0, 1), (1, 0), (1, 1)}


def test_a_window_is_no_larger_than_its_frame():
    settings = replace(NOTHING, crop_probability=1.0, crop_scales=(30,), crop_sides=(384, 600), scales=(30,))
    clip, _ = augment(*coloured_clip(), settings, np.random.default_rng(0))
    assert clip.frames.shape[-2:] == (30, 50)


def test_the_same_generator_gives_the_same_clip():
    settings = replace(SMALL, photometric="per_frame")
    first = augment(*coloured_clip(), settings, np.random.default_rng(4))
    second = augment(*coloured_clip(), settings, np.random.default_rng(4))
    assert torch.equal(first[0].frames, second[0].frames)
    assert torch.equal(first[1].masks, second[1].masks)


def test_the_source_is_left_as_it_was():
    clip, target = coloured_clip()
    frames, masks = clip.frames.clone(), target.masks.clone()
    augment(clip, target, replace(SMALL, photometric="per_frame"), np.random.default_rng(4))
    assert torch.equal(clip.frames, frames)
    assert torch.equal(target.masks, masks)


@pytest.mark.parametrize(
    ("size", "shortest", "longest", "expected"),
    [
        ((720, 1280), 360, None, (360, 640)),
        ((1280, 720), 360, 640, (640, 360)),
        ((720, 1280), 480, 768, (432, 768)),
        ((360, 640), 448, 768, (432, 768)),
        ((360, 480), 512, 768, (512, 682)),
        ((100, 1000), 288, 768, (77, 770)),
        ((333, 500), 333, 768, (333, 500)),
        ((333, 500), 333, 400, (266, 399)),
        ((50, 50), 80, None, (80, 80)),
        ((1, 2000), 288, 768, (1, 2000)),
    ],
)
def test_sizes_follow_the_rule_of_shortest_and_longest_side(size, shortest, longest, expected):
    assert fit_size(*size, shortest=shortest, longest=longest) == expected


def test_resized_frames_are_low_pass_filtered():
    stripes = torch.zeros(1, 3, 64, 64, dtype=torch.uint8)
    stripes[..., ::2] = 200
    resized = resize_frames(stripes, (16, 16)).float()
    assert (resized[..., 2:-2] - 100).abs().max() <= 2


def test_the_evaluation_size_keeps_every_object():
    clip, target = coloured_clip()
    small, resized = resize_clip(clip, target, shortest=6)
    assert small.frames.shape[-2:] == (6, 10)
    assert small.size == (60, 100)
    assert resized.track_id.tolist() == [8, 9]
    larger, moved = resize_clip(clip, target, shortest=120)
    assert min(overlap_with_colour(larger, moved)) > 0.95
    torch.testing.assert_close(moved.boxes, target.boxes)


def distorted(frames: Tensor, seed: int = 0, *, is_shared: bool = False) -> Tensor:
    return _distorted(frames, _draw_distortions(len(frames), np.random.default_rng(seed), is_shared=is_shared))


def test_colours_are_drawn_anew_for_every_frame():
    frames = torch.full((40, 3, 2, 2), 100, dtype=torch.uint8)
    assert len(distorted(frames).unique(dim=0)) > 20


def test_shared_colours_are_drawn_once_for_the_clip():
    frames = torch.full((40, 3, 2, 2), 100, dtype=torch.uint8)
    results = [distorted(frames, seed, is_shared=True) for seed in range(20)]
    assert all(len(result.unique(dim=0)) == 1 for result in results)
    assert len({result[0, 0, 0, 0].item() for result in results}) > 5


def test_colours_change_as_in_the_hue_saturation_value_form():
    """Replays the draws of the first frames with the standard library's colour conversions."""
    generator = np.random.default_rng(11)
    frames = torch.from_numpy(generator.integers(0, 256, (25, 3, 6, 7), dtype=np.uint8))
    result, replayed = distorted(frames, seed=3), np.random.default_rng(3)
    differences = []
    for t in range(len(frames)):
        differences.append(result[t].float() - naive_distortion(frames[t], replayed))
    assert torch.stack(differences).abs().max() <= 1
    # Only a value half way between two numbers may be rounded to either.
    assert (torch.stack(differences) != 0).float().mean() < 0.02


def naive_distortion(frame: Tensor, generator: np.random.Generator) -> Tensor:
    def coin_draw(low: float, high: float, neutral: float) -> float:
        return generator.uniform(low, high) if generator.random() < 0.5 else neutral

    contrast, is_early = coin_draw(0.5, 1.5, 1), generator.random() < 0.5
    brightness, saturation, hue = coin_draw(-32, 32, 0), coin_draw(0.5, 1.5, 1), coin_draw(-18, 18, 0)
    order = generator.permutation(3).tolist() if generator.random() < 0.5 else [0, 1, 2]
    result = torch.empty(frame.shape)
    for y in range(frame.shape[1]):
        for x in range(frame.shape[2]):
            colour = [(value + brightness) * (contrast if is_early else 1) for value in frame[:, y, x].tolist()]
            turned = turn(colour, saturation, hue)
            for channel in range(3):
                value = turned[order[channel]] * (1 if is_early else contrast)
                result[channel, y, x] = min(255, max(0, round(value)))
    return result


def turn(colour: list[float], saturation: float, hue: float) -> list[float]:
    """In the hue, saturation and value form; a constant is added to keep the library's conversion from negatives."""
    shift = max(0.0, -min(colour))
    value, low = max(colour) + shift, min(colour) + shift
    if value == low:
        return colour
    angle = colorsys.rgb_to_hsv(*(channel + shift for channel in colour))[0]
    pure = colorsys.hsv_to_rgb((angle + hue / 360) % 1, 1, 1)
    chroma = (value - low) * saturation
    return [value - shift - chroma * (1 - channel) for channel in pure]


@pytest.mark.parametrize(
    ("fields", "message"),
    [
        ({"scales": ()}, r"scales \(\)"),
        ({"crop_scales": (0,)}, r"crop_scales \(0,\)"),
        ({"crop_sides": (60, 40)}, r"crop_sides \(60, 40\)"),
        ({"max_size": 0}, "max_size 0"),
    ],
)
def test_impossible_sizes_are_refused(fields, message):
    with pytest.raises(ValueError, match=message):
        Augmentation(**fields)


def test_settings_survive_a_config_file():
    assert from_dict(Augmentation, to_dict(SMALL)) == SMALL
