"""A page of tables and pictures that needs nothing else."""

import base64
import html
from collections.abc import Iterable, Mapping, Sequence
from importlib.resources import files
from pathlib import Path
from string import Template


def page(title: str, facts: str, sections: Iterable[str]) -> str:
    """The whole page; title and facts are text, sections are HTML as the functions below make it."""
    room = files("maskreel.visualize.report")
    return Template(room.joinpath("data_report.html").read_text()).substitute(
        title=html.escape(title),
        facts=html.escape(facts),
        style=room.joinpath("report.css").read_text(),
        sections="\n".join(sections),
    )


def table(title: str, about: str, head: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    """A section with a table whose first column holds words and the others numbers."""
    titles = "".join(f'<th{_kind(place)} scope="col">{html.escape(name)}</th>' for place, name in enumerate(head))
    lines = "\n".join(
        "<tr>" + "".join(f"<td{_kind(place)}>{html.escape(cell)}</td>" for place, cell in enumerate(row)) + "</tr>"
        for row in rows
    )
    return (
        f'{_head(title, about)}<div class="scroll" tabindex="0" role="region" aria-label="{html.escape(title)}">'
        f"<table><thead><tr>{titles}</tr></thead><tbody>{lines}</tbody></table></div>"
    )


def pictures(title: str, about: str, shown: Mapping[str, Path], *, is_wide: bool = False) -> str:
    """A section with pictures by their captions, in two columns unless they are wide."""
    figures = "\n".join(
        f'<figure><figcaption>{html.escape(caption)}</figcaption><img src="{_address(path)}" '
        f'alt="{html.escape(caption)}"></figure>'
        for caption, path in shown.items()
    )
    return f'{_head(title, about)}<div class="{"" if is_wide else "plots"}">{figures}</div>'


def _head(title: str, about: str) -> str:
    return f"<h2>{html.escape(title)}</h2>\n<p>{html.escape(about)}</p>\n"


def _kind(place: int) -> str:
    return ' class="number"' if place else ""


def _address(path: Path) -> str:
    kind = "jpeg" if path.suffix == ".jpg" else "png"
    return f"data:image/{kind};base64,{base64.b64encode(path.read_bytes()).decode('ascii')}"
