"""What is timed computes the same on both sides."""

import pytest
import torch

from maskreel.bench import sampling
from maskreel.bench.sampling import cases


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
