"""`docs/claims.md` and `docs/readings.md` against the recipes, the reported figures and the results."""

import re
from importlib import import_module
from pathlib import Path

import pytest

from maskreel.checkpoints.published_counts import PUBLISHED_COUNTS
from maskreel.recipes.catalog import RECIPES
from maskreel.recipes.metrics import MEASURED, REPORTED, WITHOUT_RECIPE, Reported

DOCS = Path(__file__).parents[2] / "docs"
PAGE, READINGS = ((DOCS / name).read_text() for name in ("claims.md", "readings.md"))
ROWS = [[cell.strip() for cell in line.strip("|").split("|")] for line in PAGE.splitlines() if line.startswith("|")]
VERDICTS = ("reproduced", "contradicted", "undecided", "not testable", "not run")
FIGURES = {"AP": "ap", "AP50": "ap50", "AP75": "ap75", "AR1": "ar1", "AR10": "ar10", "FPS": "fps", "M": "parameters"}


def shown(known: Reported) -> str:
    figures = {word: getattr(known, field) for word, field in FIGURES.items()}
    return ", ".join(f"{word} {value:.1f}" for word, value in figures.items() if value is not None)


def tables() -> dict[str, list[list[str]]]:
    """Rows by heading, without the heads of the tables."""
    found: dict[str, list[list[str]]] = {}
    heading = ""
    for line in PAGE.splitlines():
        heading = line.removeprefix("## ") if line.startswith("## ") else heading
        if line.startswith("|"):
            found.setdefault(heading, []).append([cell.strip() for cell in line.strip("|").split("|")])
    return {heading: rows[2:] for heading, rows in found.items()}


def test_every_reported_figure_has_a_row_with_its_source() -> None:
    rows = {(row[0], row[1], row[2]) for row in tables()["Rows of the tables"]}
    expected = {(f"`{name}`", shown(known), known.source) for name, reports in REPORTED.items() for known in reports}
    expected |= {(f"{name}: no recipe", shown(known), known.source) for name, known in WITHOUT_RECIPE.items()}
    assert rows == expected


def test_what_was_measured_of_a_published_row_stands_in_it() -> None:
    for name, _, _, measured, verdict in tables()["Rows of the tables"]:
        known = MEASURED.get(name.strip("`"))
        assert measured == ("" if known is None else f"AP {known.ap:.1f}"), name
        assert verdict.startswith("not run: ") == (known is None), name


def test_verdicts_are_of_the_five_kinds() -> None:
    for heading in ("Rows of the tables", "Sizes", "Cost", "Claims about learning"):
        for row in tables()[heading]:
            if row[0] != "claim" and not set(row[0]) <= {"-"}:
                assert row[-1].startswith(VERDICTS), row


@pytest.mark.parametrize(
    "name", sorted(set(re.findall(r"`([a-z]+[a-z0-9-]*-(?:ytvis19|ytvis21|coco)[a-z0-9-]*)`", PAGE + READINGS)))
)
def test_recipes_that_are_named_exist(name: str) -> None:
    assert name in RECIPES


def test_scripts_that_are_named_exist() -> None:
    for script in re.findall(r"benchmarks/[a-z_]+\.py", PAGE + READINGS):
        assert (DOCS.parent / script).is_file(), script


def test_sizes_round_to_the_reported_ones_and_are_those_that_are_counted() -> None:
    counted = {f"{known.published / 1e6:.4f}" for known in PUBLISHED_COUNTS if known.convention == "state_dict"}
    for model, reported, _, measured, verdict in tables()["Sizes"]:
        assert measured in counted, model
        assert f"{float(measured):.1f}" == reported, model
        assert verdict == "reproduced"


def test_every_comparison_has_a_row_with_the_verdict_of_its_results() -> None:
    claims, variants = import_module("claims"), import_module("claim_variants")
    rows = {row[0]: row for row in tables()["Claims about learning"] if len(row) == 4}
    for comparison in variants.COMPARISONS:
        _, compared, sets, verdict = rows[f"{comparison.name}: {comparison.claim}"]
        assert compared == f"{comparison.better} over {comparison.worse}"
        assert sets == ", ".join(comparison.sets)
        found = {claims.judgement(comparison, name, "AP").verdict for name in comparison.sets}
        assert {each.strip() for each in verdict.split(",")} == found


def test_all_thirty_differences_are_closed() -> None:
    assert re.findall(r"^(\d+)\. ", READINGS, flags=re.MULTILINE) == [str(number) for number in range(1, 31)]
