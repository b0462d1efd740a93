"""What a recipe is: its model, what sets it apart from the main row of its model, and the metrics known of it."""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from maskreel.config import to_dict
from maskreel.recipes.catalog import RECIPES
from maskreel.recipes.metrics import MEASURED, REPORTED, Measured, Reported
from maskreel.training.recipe import Recipe


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
    reports: tuple[Reported, ...]
    """What was published of it, the report that counts first."""
    measured: Measured | None
    """What we measured; None when the recipe was not run."""

    @property
    def reported(self) -> Reported | None:
        """The report that counts."""
        return self.reports[0] if self.reports else None


def listings() -> list[Listing]:
    """Every recipe of the catalog, in its order."""
    main_rows: dict[str, Recipe] = {}
    rows = []
    for name, build in RECIPES.items():
        recipe = build()
        main = main_rows.setdefault(recipe.model.kind, recipe)
        rows.append(
            Listing(
                name=name,
                model=recipe.model.kind,
                main_row=main.name,
                differences=dict(differences(to_dict(main), to_dict(recipe))),
                reports=REPORTED.get(name, ()),
                measured=MEASURED.get(name),
            )
        )
    return rows


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
