"""What is timed computes the same on both sides."""

import pytest
import torch

from maskreel.bench import sampling
from maskreel.bench.sampling import cache_bandwidth, cases, row_bytes
from maskreel.cli.bench_sampling import sampling_table


@pytest.mark.parametrize("name", list(cases()))
def test_both_sides_of_a_case_give_the_same_numbers(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sampling, "LEVELS", ((6, 8), (3, 4)))
    monkeypatch.setattr(sampling, "VOLUME", (3, 4))
    monkeypatch.setattr(sampling, "VOLUME_FRAMES", 3)
    steps = cases()[name]()
    published, ours = steps["published forward"](), steps["ours forward"]()
    assert isinstance(published, torch.Tensor)
    assert isinstance(ours, torch.Tensor)
    torch.testing.assert_close(ours.flatten(), published.flatten(), rtol=1e-4, atol=1e-5)


def test_the_floor_counts_every_corner_of_every_point() -> None:
    """As counted by hand: points x 4 corners x channels x 4 bytes."""
    assert row_bytes("encoder") == 24_100 * 8 * 16 * 4 * 32 * 4
    assert row_bytes("decoder") == 1_500 * 8 * 16 * 4 * 32 * 4
    assert row_bytes("neighbour frames") == 4 * row_bytes("encoder")
    assert row_bytes("space-time") == 36 * 240 * 8 * 32 * 8 * 48 * 4


def test_the_bandwidth_of_the_caches_is_that_of_a_machine() -> None:
    assert 1e8 < cache_bandwidth() < 1e14


def test_the_table_names_the_floor_where_it_is_known() -> None:
    times = {"p50": 20.0, "p95": 21.0, "quiet": 5, "samples": 5}
    row = {"use": "encoder", "pass": "forward", "grid_sample_ms": times, "ours_ms": times, "ratio": 1.0}
    assert "floor" not in sampling_table([row])
    lines = sampling_table(
        [row | {"floor_ms": 16.0, "over_floor": 1.25}, row | {"pass": "forward+backward"}]
    ).splitlines()
    assert lines[0].endswith("floor ms  over floor")
    assert lines[1].split()[-2:] == ["16.0", "x1.25"]
    assert lines[2].split()[-1] == "5/5"
