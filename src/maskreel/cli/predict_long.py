"""Long videos among the units of `maskreel predict`: which part comes next, and when one is finished."""

from collections.abc import Sequence
from dataclasses import dataclass

from maskreel.cli.predict_job import IsLong, Job, Joining, Outcome, Searched, Stretch, Unit
from maskreel.spread.work import Finished


@dataclass(kw_only=True)
class _Shared:
    """A video in parts."""

    parts: int
    """Stretches, and the joining of them."""
    left: int
    """Stretches that are not searched."""
    told: float = 0.0
    """How much of the video was told as progress."""
    seconds: float = 0.0
    is_lost: bool = False
    """Whether a part failed, so that nothing more is done of it."""


class LongVideos:
    """Those that are being searched."""

    def __init__(self) -> None:
        self._shared: dict[int, _Shared] = {}

    def further(self, finished: Finished[Unit]) -> Sequence[Unit]:
        """What can be done now that something is."""
        match finished.unit, finished.value:
            case Job() as job, IsLong(ranges=ranges):
                self._shared[job.number] = _Shared(parts=len(ranges) + 1, left=len(ranges), seconds=finished.seconds)
                return [Stretch(job=job, chosen=chosen) for chosen in ranges]
            case Stretch(job=job), Searched(error=None):
                shared = self._shared[job.number]
                shared.left -= 1
                shared.seconds += finished.seconds
                return [Joining(job=job)] if not shared.left and not shared.is_lost else []
            case _:
                return []

    def progress_of(self, finished: Finished[Unit]) -> float:
        """How much of a video is done with it; to be asked before `last_of`."""
        if isinstance(finished.unit, Job):
            return float(not isinstance(finished.value, IsLong))
        shared = self._shared[finished.unit.job.number]
        if shared.is_lost:
            return 0.0
        is_part = isinstance(finished.value, Searched) and finished.value.error is None
        done = 1 / shared.parts if is_part else 1 - shared.told
        shared.told += done
        return done

    def has(self, job: Job) -> bool:
        """Whether a video was shared."""
        return job.number in self._shared

    def last_of(self, finished: Finished[Unit]) -> Finished[Job] | None:
        """What is told of a source with this part of it: None while it goes on, or when its end was told."""
        if isinstance(finished.unit, Job):
            if isinstance(finished.value, IsLong):
                return None
            seconds, deaths = finished.seconds, finished.deaths
            return Finished(
                unit=finished.unit, value=finished.value, worker=finished.worker, seconds=seconds, deaths=deaths
            )
        job = finished.unit.job
        shared = self._shared[job.number]
        if isinstance(finished.value, Searched) and finished.value.error is None:
            return None
        if shared.is_lost:
            return None
        shared.is_lost = True
        value = finished.value
        if isinstance(value, Searched):
            value = Outcome(error=value.error)
        seconds = shared.seconds + finished.seconds
        return Finished(unit=job, value=value, worker=finished.worker, seconds=seconds, deaths=finished.deaths)
