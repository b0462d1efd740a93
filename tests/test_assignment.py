"""The solver alone gives what SciPy gives, and a prediction does without the rest of `scipy.optimize`."""

import subprocess
import sys
from collections.abc import Iterator

import numpy as np
import pytest
from scipy.optimize import linear_sum_assignment as by_scipy

from maskreel import assignment
from maskreel.assignment import linear_sum_assignment


@pytest.fixture(params=["alone", "within the package"])
def solver(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    if request.param == "alone":
        monkeypatch.delitem(sys.modules, "scipy.optimize")
    else:
        monkeypatch.setattr(assignment, "find_spec", lambda name: None)
    assignment._solver.cache_clear()
    yield
    assignment._solver.cache_clear()


@pytest.mark.usefixtures("solver")
@pytest.mark.parametrize("shape", [(4, 4), (7, 3), (2, 9), (0, 3), (3, 0)])
@pytest.mark.parametrize("maximize", [False, True])
def test_assignments_are_those_of_scipy(shape: tuple[int, int], maximize: bool) -> None:
    generator = np.random.default_rng(0)
    for cost in (generator.random(shape), generator.integers(0, 2, shape).astype(np.float32)):
        ours, theirs = linear_sum_assignment(cost, maximize=maximize), by_scipy(cost, maximize=maximize)
        assert [axis.tolist() for axis in ours] == [axis.tolist() for axis in theirs]


@pytest.mark.usefixtures("solver")
def test_a_matrix_that_is_not_a_number_is_refused_as_by_scipy() -> None:
    with pytest.raises(ValueError, match="invalid numeric entries"):
        linear_sum_assignment(np.full((2, 2), np.nan))


def test_predict_and_score_never_import_the_package() -> None:
    code = (
        "import sys, maskreel.cli.predict, maskreel.cli.score; from maskreel.assignment import linear_sum_assignment; "
        "print(linear_sum_assignment([[3.0, 1.0], [1.0, 3.0]])[1].tolist(), 'scipy.optimize' in sys.modules)"
    )
    out = subprocess.run([sys.executable, "-c", code], check=True, stdout=subprocess.PIPE, text=True).stdout
    assert out.strip() == "[1, 0] False"
