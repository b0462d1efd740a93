"""Each format to YouTube-VIS and back: masks, ids, classes, frame times stay bit for bit, or a refusal names them."""

import re
import tempfile
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from maskreel.data.formats.annotations import (
    AnnotatedVideo,
    Annotations,
    ReadOptions,
    differences,
    tidy,
)
from maskreel.data.formats.catalog import FORMATS, FormatName
from maskreel.data.formats.convert import convert
from maskreel.data.tracks import AnnotatedTrack, Category
from maskreel.errors import DataError
from maskreel.geometry import rle

OPTIONS = ReadOptions()
WRITTEN = [name for name, one in FORMATS.items() if one.write is not None]
FAST = settings(max_examples=10, deadline=None, suppress_health_check=list(HealthCheck))


@st.composite
def videos(
    draw: st.DrawFn, *, number: int, category_ids: list[int], ids: st.SearchStrategy[int], is_plain: bool
) -> AnnotatedVideo:
    """A video of 1 to 4 frames of 2 to 9 pixels a side.

    A plain one has no overlaps, crowds, empty tracks or frame rate, its frames are numbered without gaps, and the first
    and the last show an object.
    """
    height, width, length = draw(st.integers(2, 9)), draw(st.integers(2, 9)), draw(st.integers(1, 4))
    first = draw(st.integers(0, 9))
    gaps = draw(st.lists(st.integers(1, 1 if is_plain else 9_000), min_size=length - 1, max_size=length - 1))
    numbers = tuple(first + sum(gaps[:t]) for t in range(length))
    track_ids = draw(st.lists(ids, min_size=int(is_plain), max_size=3, unique=True))
    generator = np.random.default_rng(draw(st.integers(0, 2**32 - 1)))
    masks = generator.random((3, length, height, width)) < generator.choice([0.0, 0.5, 1.0])
    if is_plain:
        owners = generator.integers(0, 4, (length, height, width))
        owners[0].flat[:3] = (1, 2, 3)
        owners[-1].flat[0] = 1
        masks = np.stack([owners == place for place in (1, 2, 3)])
    tracks = [
        AnnotatedTrack(
            id=track_id,
            category_id=draw(st.sampled_from(category_ids)),
            segmentations=tuple(tidy(rle.encode(mask)) for mask in track_masks),
            is_crowd=not is_plain and draw(st.booleans()),
            occlusion=None
            if is_plain
            else draw(st.sampled_from([None, (("slight_occlusion", None) * length)[:length]])),
        )
        for track_id, track_masks in zip(track_ids, masks, strict=False)
    ]
    name = f"video_{number:02d}"
    return AnnotatedVideo(
        id=number if is_plain else number * 7,
        name=name,
        width=width,
        height=height,
        frame_numbers=numbers,
        file_names=tuple(f"{name}/{frame:05d}.jpg" for frame in numbers),
        images=(None,) * length,
        tracks=tuple(tracks),
        fps=None if is_plain else draw(st.sampled_from([None, 6.0, 29.97])),
    )


def annotations(
    classes: dict[int, str], *, ids: st.SearchStrategy[int], is_plain: bool
) -> st.SearchStrategy[Annotations]:
    """One or two videos of a set with these classes."""
    categories = tuple(Category(id=number, name=name) for number, name in classes.items())
    return st.integers(1, 2).flatmap(
        lambda count: st.tuples(
            *(videos(number=n, category_ids=list(classes), ids=ids, is_plain=is_plain) for n in range(1, count + 1))
        ).map(lambda made: Annotations(categories=categories, videos=made))
    )


def written_and_read(name: FormatName, before: Annotations) -> Annotations:
    with tempfile.TemporaryDirectory() as folder:
        writer = FORMATS[name].write
        assert writer is not None
        writer(before, Path(folder), OPTIONS.split)
        return FORMATS[name].read(Path(folder), OPTIONS)


def without_occlusion(before: Annotations) -> Annotations:
    """Only YouTube-VIS files have these labels."""
    return replace(
        before,
        videos=tuple(
            replace(video, tracks=tuple(replace(track, occlusion=None) for track in video.tracks))
            for video in before.videos
        ),
    )


def refused(source: Path, target: Path, *, read_as: FormatName, write_as: FormatName) -> str | None:
    """Convert; the message where that is refused."""
    try:
        convert(source, target, read_as=read_as, write_as=write_as, options=OPTIONS, images="none")
    except DataError as error:
        return str(error)
    return None


ANY_CLASSES = {1: "person", 2: "giant panda", 7: 'x<&">'}
IN_ORDER = {1: "disc", 2: "star & box"}


@pytest.mark.parametrize(
    ("name", "strategy"),
    [
        ("youtube-vis", annotations(ANY_CLASSES, ids=st.integers(0, 10**9), is_plain=False)),
        ("coco-tracks", annotations(ANY_CLASSES, ids=st.integers(0, 10**9), is_plain=False)),
        ("burst", annotations(ANY_CLASSES, ids=st.integers(0, 10**9), is_plain=True)),
        ("cvat", annotations(IN_ORDER, ids=st.integers(0, 10**9), is_plain=True)),
        ("labelme", annotations(IN_ORDER, ids=st.integers(0, 10**9), is_plain=True)),
        ("mots-txt", annotations({1: "car", 2: "pedestrian"}, ids=st.integers(0, 10**9), is_plain=True)),
        ("mots-png", annotations({1: "car", 2: "pedestrian"}, ids=st.integers(1, 999), is_plain=True)),
        ("davis", annotations({1: "object"}, ids=st.integers(1, 254), is_plain=True)),
    ],
)
def test_what_a_format_can_hold_comes_back_bit_for_bit(
    name: FormatName, strategy: st.SearchStrategy[Annotations]
) -> None:
    @FAST
    @given(strategy)
    def holds(before: Annotations) -> None:
        used = {track.category_id for video in before.videos for track in video.tracks}
        if name.startswith("mots"):
            # These list the classes that have objects.
            before = replace(before, categories=tuple(one for one in before.categories if one.id in used))
        if name != "youtube-vis":
            before = without_occlusion(before)
        assert differences(before, written_and_read(name, before)) == []

    holds()


@pytest.mark.parametrize("name", WRITTEN)
def test_a_format_keeps_everything_or_the_conversion_is_refused(name: FormatName) -> None:
    @FAST
    @given(annotations(ANY_CLASSES, ids=st.integers(0, 70_000), is_plain=False))
    def keeps_or_refuses(before: Annotations) -> None:
        with tempfile.TemporaryDirectory() as folder:
            root = Path(folder)
            (root / "own").mkdir()
            writer = FORMATS["youtube-vis"].write
            assert writer is not None
            writer(before, root / "own", OPTIONS.split)
            refusal = refused(root / "own", root / "there", read_as="youtube-vis", write_as=name)
            if refusal is not None:
                assert re.search("cannot keep|not fit", refusal)
                assert not (root / "there").exists()
                return
            assert refused(root / "there", root / "back", read_as=name, write_as="youtube-vis") is None
            assert differences(before, FORMATS["youtube-vis"].read(root / "back", OPTIONS)) == []
            own, back = ((root / place / "train.json").read_text() for place in ("own", "back"))
            assert name not in ("youtube-vis", "coco-tracks") or own == back

    keeps_or_refuses()


@pytest.mark.parametrize("make", [np.zeros, np.ones])
def test_masks_have_one_form(make: Callable[..., np.ndarray]) -> None:
    mask = make((4, 5), dtype=bool)
    assert tidy(rle.encode(mask)) == (rle.encode(mask) if mask.any() else None)
    assert tidy(None) is None


@given(st.lists(st.integers(0, 3), min_size=1, max_size=12))
def test_empty_runs_are_taken_out_of_a_mask(lengths: list[int]) -> None:
    lengths = [*lengths, 2]
    pixels = sum(lengths)
    loose = rle.Rle(1, pixels, rle.compress(np.array(lengths, dtype=np.int64)))
    expected = rle.encode(rle.decode(loose))
    assert tidy(loose) == (expected if rle.decode(loose).any() else None)
