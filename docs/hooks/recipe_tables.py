"""Puts the recipes of a system, with what is reported and measured of each, where a page says `{{ recipes KIND }}`."""

import re

from maskreel.recipes.listing import Listing, listings

_PLACE = re.compile(r"\{\{ recipes (\w+) \}\}")


def on_page_markdown(markdown: str, **_: object) -> str:
    """Called by mkdocs for every page."""
    return _PLACE.sub(lambda found: table(found[1]), markdown)


def table(kind: str) -> str:
    """A table of the recipes of a model."""
    rows = [row for row in listings() if row.model == kind]
    if not rows:
        raise ValueError(f"no recipe is of kind {kind!r}")
    head = "| recipe | AP reported | source | AP measured by us |\n|---|---|---|---|\n"
    return head + "\n".join(_line(row) for row in rows)


def _line(row: Listing) -> str:
    reported = "" if row.reported is None else f"{row.reported.ap:.1f}"
    source = "" if row.reported is None else row.reported.source.replace("|", "/")
    measured = "not run" if row.measured is None else f"{row.measured.ap:.1f} ({row.measured.source})".replace("|", "/")
    return f"| `{row.name}` | {reported} | {source} | {measured} |"
