"""What a recipe is: its model, what sets it apart from the main row of its model, and the AP that is known of it."""

import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

from maskreel.config import to_dict
from maskreel.recipes.catalog import RECIPES
from maskreel.training.recipe import Recipe

FIGURE = re.compile(r"\bAP (?P<ap>\d+(?:\.\d+)?)[^()]*\((?P<kind>reported|measured)(?P<where>[^)]*)\)")
"""A figure in a docstring: "AP 48.4 (reported; table S1)" or "AP 43.5 on 40 unseen videos (measured; ...)"."""


@dataclass(frozen=True, kw_only=True)
class Listing:
    """A recipe in a list."""

    name: str
    model: str
    """Its kind."""
    main_row: str
    """Name of the first recipe of the model, which the others are compared with."""
    differences: dict[str, Any]
    """Options with other values than in the main row, by path; a part that one side lacks is given whole."""
    reported: float | None
    """AP in percent, as somebody published it."""
    source: str | None
    """Where it was published."""
    measured: float | None
    """AP in percent, as we measured it; None when the recipe was not run."""


def listings() -> list[Listing]:
    """Every recipe of the catalog, in its order."""
    main_rows: dict[str, Recipe] = {}
    rows = []
    for name, build in RECIPES.items():
        recipe = build()
        main = main_rows.setdefault(recipe.model.kind, recipe)
        figures = known_figures(build)
        reported, measured = figures.get("reported"), figures.get("measured")
        rows.append(
            Listing(
                name=name,
                model=recipe.model.kind,
                main_row=main.name,
                differences=dict(differences(to_dict(main), to_dict(recipe))),
                reported=reported[0] if reported else None,
                source=reported[1] if reported else None,
                measured=measured[0] if measured else None,
            )
        )
    return rows


def known_figures(build: Callable[[], Recipe]) -> dict[str, tuple[float, str]]:
    """AP and its source by "reported" and "measured", from the docstring of a recipe; the first of each counts."""
    found: dict[str, tuple[float, str]] = {}
    for match in FIGURE.finditer(" ".join((build.__doc__ or "").split())):
        found.setdefault(match["kind"], (float(match["ap"]), match["where"].strip(" ;,")))
    return found


def differences(before: Any, after: Any, path: str = "") -> Iterator[tuple[str, Any]]:
    """(path, new value) of everything that changed between two plain records; the name of a recipe is no difference."""
    is_same_record = isinstance(before, dict) and isinstance(after, dict) and before.keys() == after.keys()
    if not is_same_record:
        if before != after:
            yield path, after
        return
    for key in after:
        if path or key != "name":
            yield from differences(before[key], after[key], f"{path}.{key}" if path else key)
