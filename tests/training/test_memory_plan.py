"""The plan of a training in little memory: what is preferred, what is refused, and how true the reckoned peaks are."""

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest

from maskreel.cli.main import main
from maskreel.errors import OptionError, UsageError
from maskreel.training.memory_plan import (
    MARGIN,
    Need,
    Plan,
    in_fresh_process,
    make_plan,
    measured_apart,
    parse_bytes,
    require_fit,
)
from maskreel.training.recipe import Recipe


@pytest.mark.parametrize(
    ("text", "expected"),
    [("8GB", 8 * 10**9), ("7.5GiB", 7.5 * 2**30), ("900MB", 9e8), ("1e3", 0), ("0GB", 0), ("x", 0)],
)
def test_sizes_are_read_or_refused(text: str, expected: float) -> None:
    if expected:
        assert parse_bytes(text) == expected
        return
    with pytest.raises(OptionError, match="expected a size, such as 8GB"):
        parse_bytes(text)


PER_CLIP = {
    ("none", "float32"): 10**9,
    ("layers", "float32"): 6 * 10**8,
    ("none", "bf16"): 5 * 10**8,
    ("layers", "bf16"): 3 * 10**8,
}


@pytest.fixture
def reckoned(recipe: Recipe) -> Callable[[float], Plan]:
    """A plan for a limit where measuring has given 1 GB and so many per clip; a recipe of 4 clips twice."""
    eight = replace(recipe, data=replace(recipe.data, batch_size=4), training=replace(recipe.training, accumulate=2))

    def measured(recipe: Recipe, checkpointing: str, precision: str) -> Need:
        return Need(fixed=10**9, per_clip=PER_CLIP[checkpointing, precision])

    return lambda limit: make_plan(eight, round(limit * 1e9), measured=measured)


@pytest.mark.parametrize(
    ("limit", "expected"),
    [
        (5.6, (4, 2, "none", "float32")),
        (5.4, (2, 4, "none", "float32")),
        (3.4, (2, 4, "none", "float32")),
        (2.3, (1, 8, "none", "float32")),
        (2.1, (1, 8, "layers", "float32")),
        (1.7, (1, 8, "none", "bf16")),
        (1.5, (1, 8, "layers", "bf16")),
    ],
)
def test_the_first_way_that_fits_is_taken_and_the_step_keeps_its_clips(
    limit: float, expected: tuple[object, ...], reckoned: Callable[[float], Plan], recipe: Recipe
) -> None:
    choice = require_fit(reckoned(limit))
    assert (choice.batch_size, choice.accumulate, choice.checkpointing, choice.precision) == expected
    changed = choice.applied(recipe)
    assert changed.data.batch_size * changed.training.accumulate == 8
    assert (changed.training.checkpointing, changed.training.precision) == expected[2:]


def test_a_limit_in_which_nothing_fits_is_refused_with_what_would_do(
    reckoned: Callable[[float], Plan],
) -> None:
    with pytest.raises(UsageError, match=r"no way to train fits \(1\.5GB would do\)"):
        require_fit(reckoned(1.4))


def test_options_that_make_no_plan_are_refused(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["train", "seqformer-tiny", "--dry-run"]) == 2
    assert "--dry-run prints the plan of --max-memory" in capsys.readouterr().err
    assert main(["train", "seqformer-tiny", "--max-memory", "much", "--dry-run"]) == 2
    assert "--max-memory 'much': expected a size" in capsys.readouterr().err


@pytest.mark.nightly
@pytest.mark.parametrize("switches", [("none", "float32"), ("layers", "float32"), ("none", "bf16")])
def test_reckoned_peaks_are_those_that_are_measured(recipe: Recipe, switches: tuple[str, str]) -> None:
    """Within a tenth of what the process takes, with clips large enough to be seen beside the program."""
    checkpointing, precision = switches
    augmentation = replace(recipe.data.augmentation, scales=(288,), max_size=512)  # type: ignore[type-var]
    large = replace(
        recipe,
        data=replace(recipe.data, num_frames=5, augmentation=augmentation),
        training=replace(recipe.training, checkpointing=checkpointing, precision=precision),
    )
    need = measured_apart(large, checkpointing, precision)  # type: ignore[arg-type]
    assert need is not None
    for clips in (2, 4):
        _, measured = in_fresh_process(large, clips)
        assert need.of(clips) == pytest.approx(measured, rel=MARGIN - 1)
