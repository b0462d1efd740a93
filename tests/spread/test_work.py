"""Many units, few workers: everything is done once, whoever dies."""

import tracemalloc
from collections.abc import Iterator
from functools import partial
from pathlib import Path

import pytest

from maskreel.errors import DataError
from maskreel.manifest import Manifest, UnitLine
from maskreel.spread.here import Here
from maskreel.spread.processes import ProcessCrew
from maskreel.spread.work import Answer, Death, Finished, Stopped, work_through
from tests.spread import workers


def test_every_unit_is_done_once_by_two_processes() -> None:
    with ProcessCrew(workers.doubler) as crew:
        found = list(work_through(range(20), crew, workers=2))
    assert sorted((one.unit, one.value) for one in found) == [(unit, 2 * unit) for unit in range(20)]
    assert {one.worker for one in found} == {"1", "2"}


@pytest.mark.parametrize("times", [1, 2])
def test_a_worker_that_is_killed_is_replaced_and_a_unit_that_kills_two_is_set_aside(times: int, tmp_path: Path) -> None:
    with ProcessCrew(partial(workers.deadly, tmp_path, times)) as crew:
        found = {one.unit: one for one in work_through(range(6), crew, workers=2)}
    assert sorted(found) == list(range(6))
    assert [found[unit].value for unit in (0, 1, 2, 4, 5)] == [0, 2, 4, 8, 10]
    if times == 1:
        assert (found[3].value, found[3].deaths) == (6, ())
    else:
        assert found[3].value is None
        assert len(found[3].deaths) == 2
        assert "SIGKILL" in found[3].deaths[0]
    began = [path.name.partition("-")[0] for path in tmp_path.iterdir()]
    assert sorted(began) == sorted([*"01245", *(["3"] * 2)])


def test_what_a_worker_cannot_begin_for_is_the_error_of_the_command() -> None:
    with ProcessCrew(workers.refusing) as crew, pytest.raises(DataError, match=r"model\.safetensors: damaged"):
        list(work_through(range(2), crew, workers=1))
    with ProcessCrew(workers.dying) as crew, pytest.raises(DataError, match="before it could begin"):
        list(work_through(range(2), crew, workers=1))


def until_stopped(found: Iterator[Finished[int]]) -> list[Finished[int]]:
    """What comes before Stopped, which must come."""
    told = []
    with pytest.raises(Stopped):  # noqa: PT012
        for one in found:
            told.append(one)
    return told


def test_a_stop_lets_workers_finish_early_and_begins_no_further_unit() -> None:
    with ProcessCrew(workers.slow) as crew:
        found = work_through(range(5), crew, workers=1, is_stopping=lambda: crew.is_proven)
        assert [(one.unit, one.value) for one in until_stopped(found)] == [(0, "early")]


class Scripted:
    """A crew whose workers do what a script says: `deaths` of units, by attempt; workers `without_place`."""

    def __init__(self, deaths: dict[int, int], without_place: frozenset[int] = frozenset()) -> None:
        self.without_place = without_place
        self.deaths, self.hired, self.given = deaths, 0, list[tuple[int, int]]()
        self.busy: dict[int, int] = {}
        self.most_busy = 0
        self.is_stopped = False

    def hire(self) -> int:
        self.hired += 1
        return self.hired

    def give(self, worker: int, unit: int) -> None:
        assert worker not in self.busy
        self.given.append((worker, unit))
        self.busy[worker] = unit
        self.most_busy = max(self.most_busy, len(self.busy))

    def wait(self, seconds: float) -> list[Answer | Death]:
        worker = max(self.busy)
        unit = self.busy.pop(worker)
        if worker in self.without_place:
            return [Death(worker=worker, reason="found no place", is_of_unit=False)]
        if self.deaths.get(unit, 0) > 0:
            self.deaths[unit] -= 1
            return [Death(worker=worker, reason="died")]
        return [Answer(worker=worker, value=-unit, seconds=1.0)]

    def stop(self) -> None:
        self.is_stopped = True


def test_units_are_drawn_only_when_a_worker_is_free() -> None:
    drawn: list[int] = []

    def units() -> Iterator[int]:
        for unit in range(100):
            drawn.append(unit)
            yield unit

    crew = Scripted({})
    for done, one in enumerate(work_through(units(), crew, workers=3), 1):
        assert len(drawn) <= done + 2
        assert one.value == -one.unit
    assert (done, crew.hired, crew.most_busy) == (100, 3, 3)


def test_what_is_finished_takes_no_memory(tmp_path: Path) -> None:
    def peak(units: int) -> int:
        tracemalloc.start()
        with Manifest(tmp_path) as manifest:
            for one in work_through(range(units), Here(str), workers=1):
                manifest.add(UnitLine(unit=one.value, source=one.value, state="done"))
        found = tracemalloc.get_traced_memory()[1]
        tracemalloc.stop()
        return found

    few, many = 100, 3000
    peak(many)  # what is made once
    assert peak(many) < peak(few) + many


def test_a_finished_unit_may_make_further_ones_possible_which_come_first() -> None:
    found = work_through(
        [1, 2], Here(lambda unit: unit), workers=1, further=lambda one: [10, 11] if one.unit == 1 else []
    )
    assert [one.unit for one in found] == [1, 10, 11, 2]


def test_one_death_is_forgiven_and_two_are_not() -> None:
    crew = Scripted({2: 1, 4: 2})
    found = {one.unit: one for one in work_through(range(6), crew, workers=2)}
    assert {unit: one.value for unit, one in found.items()} == {0: 0, 1: -1, 2: -2, 3: -3, 4: None, 5: -5}
    assert found[4].deaths == ("died", "died")
    assert found[2].deaths == ()
    dead = 3
    assert crew.hired == 2 + dead


def test_a_worker_without_a_place_leaves_its_unit_to_the_others() -> None:
    crew = Scripted({}, without_place=frozenset({2, 3, 4}))
    found = list(work_through(range(6), crew, workers=3))
    assert sorted((one.unit, one.value, one.deaths) for one in found) == [(unit, -unit, ()) for unit in range(6)]
    assert crew.hired >= max(crew.without_place)


def test_after_a_stop_what_still_comes_is_told_and_nothing_is_begun() -> None:
    crew = Scripted({})
    told = until_stopped(work_through(range(10), crew, workers=2, is_stopping=lambda: crew.hired == 2))
    assert crew.is_stopped
    assert sorted(one.unit for one in told) == sorted({unit for _, unit in crew.given})
    assert len(told) == 2
