"""A long video among several workers: same windows, same joining, same bytes."""

from pathlib import Path

import numpy as np
import pytest

from maskreel.cli.predict_job import IsLong, Job, Joining, Outcome, Searched, Stretch
from maskreel.cli.predict_long import LongVideos
from maskreel.cli.predict_unit import Work
from maskreel.cli.predict_windows import MOST_STRETCHES, WINDOWS_OF_STRETCH, Range, ranges
from maskreel.cli.records.video import Predict
from maskreel.cli.stopping import Stopping
from maskreel.errors import DataError
from maskreel.inference.windows import WindowCutter
from maskreel.spread.here import Here
from maskreel.spread.work import Finished, work_through
from maskreel.video.sources import find_sources
from tests.cli.test_predict import random_model
from tests.video.videos import write_test_video


@pytest.mark.parametrize("length", [1, 8, 103, 104, 105, 600, 2000, 50_000])
def test_ranges_hold_every_window_once(length: int) -> None:
    cutter = WindowCutter[int](clip_frames=8, overlap=2)
    windows = sum(cutter.push(frame) is not None for frame in range(length)) + (cutter.finish() is not None)
    found = ranges(length, 8, 2)
    if windows <= 2 * WINDOWS_OF_STRETCH:
        assert found == []
        return
    assert found[0].first == 0
    assert found[-1].end is None
    assert [one.end for one in found[:-1]] == [one.first for one in found[1:]]
    size = found[0].end
    assert size is not None
    assert {one.end - one.first for one in found[:-1] if one.end is not None} == {size}
    assert 0 < windows - found[-1].first <= size
    # Each reads the video from its beginning: few of them, however long it is.
    assert size == WINDOWS_OF_STRETCH or MOST_STRETCHES // 2 < len(found) <= MOST_STRETCHES
    assert ranges(None, 8, 2) == []


def work(folder: Path, **options: object) -> Work:
    args = Predict(run=random_model(folder / "model"), sources=(), device="cpu", min_score=0.0, **options)  # type: ignore[arg-type]
    return Work.of(args, Stopping(), of_many=True)


def job(video: Path, folder: Path) -> Job:
    (source,) = find_sources([str(video)])
    return Job(number=0, source=source, stem="long", folder=folder)


@pytest.mark.slow
@pytest.mark.parametrize("options", [{}, {"memory": 20}])
def test_a_long_video_in_parts_is_the_one_of_one_process_to_the_bit(options: dict[str, int], tmp_path: Path) -> None:
    """The parts are done in another order, and a window that is there already is not searched again."""
    video = write_test_video(tmp_path / "long.mp4", num_frames=115)
    alone = work(tmp_path, jsonl=True, **options)
    assert alone.do(job(video, tmp_path / "whole")).error is None
    shared = job(video, tmp_path / "parts")
    answer = alone.do_unit(shared)
    assert isinstance(answer, IsLong)
    for chosen in reversed(answer.ranges):
        assert alone.do_unit(Stretch(job=shared, chosen=chosen)) == Searched()
    written = {path: path.stat().st_mtime_ns for path in shared.windows.iterdir()}
    starts = sorted(int(path.name.partition(".")[0]) for path in written)
    assert starts == [*range(0, 108, 6), 107]
    assert alone.do_unit(Stretch(job=shared, chosen=Range(first=0, end=None))) == Searched()
    assert {path: path.stat().st_mtime_ns for path in shared.windows.iterdir()} == written
    joined = alone.do_unit(Joining(job=shared))
    assert isinstance(joined, Outcome)
    assert joined.error is None
    assert (tmp_path / "parts" / "long_overlay.mp4").is_file()
    for name in ("long.json", "long.jsonl"):
        assert (tmp_path / "parts" / name).read_bytes() == (tmp_path / "whole" / name).read_bytes(), name
    next(iter(written)).unlink()
    lost = alone.do_unit(Joining(job=shared))
    assert isinstance(lost, Outcome)
    assert "what was found in the window is lost" in str(lost.error)


def test_a_long_video_is_told_once_whatever_becomes_of_its_parts() -> None:
    long = Job(number=4, source=find_sources(["none.mp4"])[0], stem="none", folder=Path("out"))
    parts = tuple(Range(first=8 * n, end=8 * n + 8) for n in range(3))

    def told(answers: dict[int, object]) -> tuple[list[Finished], list[float]]:
        videos = LongVideos()

        def handle(unit: object) -> object:
            if isinstance(unit, Job):
                return IsLong(ranges=parts)
            return answers[unit.chosen.first] if isinstance(unit, Stretch) else Outcome(summary={"joined": True})

        found = work_through([long], Here(handle), workers=1, further=videos.further)
        ends, progress = [], []
        for one in found:
            progress.append(videos.progress_of(one))
            if (last := videos.last_of(one)) is not None:
                ends.append(last)
        return ends, progress

    whole, progress = told({0: Searched(), 8: Searched(), 16: Searched()})
    assert [(one.unit, one.value.summary) for one in whole] == [(long, {"joined": True})]
    assert whole[0].seconds >= 0
    assert progress == [0, 0.25, 0.25, 0.25, 0.25]
    bad, progress = told(
        {0: Searched(), 8: Searched(error=DataError("frame 70")), 16: Searched(error=DataError("frame 130"))}
    )
    assert [str(one.value.error) for one in bad] == ["frame 70"]
    assert progress == [0, 0.25, 0.75, 0]


def test_an_empty_window_is_no_object() -> None:
    from maskreel.cli.predict_windows import _nothing
    from maskreel.inference.windows import Window

    found = _nothing(3)(Window(start=0, frames=[None] * 5), (4, 6))  # type: ignore[list-item]
    assert len(found) == 0
    assert found.probability.shape == (0, 3)
    assert found.coarse.shape[1] == 5
    assert not np.any(found.is_chosen)
