"""Draws the figures of the pages about systems: `python docs/hooks/draw_systems.py`. A test holds the files to it."""

import html
from pathlib import Path

FOLDER = Path(__file__).parents[1] / "systems"
WIDTH, HEIGHT, GAP, MARGIN = 168, 74, 34, 12
PLAIN, OWN = ("#f1f3f6", "#4a5160"), ("#fff1dd", "#a85700")
"""(fill, border) of a box that other systems have too, and of one that sets the system apart."""

Box = tuple[str, str, bool]
"""Title, a line below it, and whether it sets the system apart."""

SYSTEMS: dict[str, list[list[Box]]] = {
    "seqformer": [
        [
            ("frames", "t x 3 x h x w", False),
            ("backbone, pyramid", "strides 8, 16, 32, 64", False),
            ("encoder", "deformable, each frame alone", False),
            ("decoder", "a box query per frame", True),
            ("instance query", "weighted sum over time", True),
        ],
        [
            ("class", "one vote per clip", False),
            ("boxes", "per frame, refined by layer", True),
            ("mask features", "8 channels per frame", False),
            ("dynamic masks", "3 layers from the query", True),
        ],
    ],
    "ms_sts": [
        [
            ("frames", "t x 3 x h x w", False),
            ("backbone, pyramid", "strides 8, 16, 32, 64", False),
            ("deformable", "each frame alone", False),
            ("split attention", "over frames, then scales", True),
            ("sum, norm, FFN", "times 6 layers", False),
        ],
        [
            ("decoder", "SeqFormer's", False),
            ("temporal attention", "box queries over frames", True),
            ("class, boxes, masks", "SeqFormer's", False),
            ("discriminator", "foreground or background", True),
        ],
    ],
    "taformer": [
        [
            ("frames", "t x 3 x h x w", False),
            ("backbone, pyramid", "strides 8, 16, 32, 64", False),
            ("own frame", "deformable", False),
            ("4 neighbour frames", "deformable over time", True),
            ("dynamic fusion", "a share per channel", True),
        ],
        [
            ("temporal attention", "box queries over frames", True),
            ("decoder", "SeqFormer's", False),
            ("class, boxes, masks", "SeqFormer's", False),
            ("contrastive loss", "same object, other frames", True),
        ],
    ],
    "vistr": [
        [
            ("frames", "36 x 3 x 300 x 540", False),
            ("ResNet", "stride 32, 384 channels", False),
            ("encoder", "dense, over the whole clip", True),
            ("decoder", "36 x 10 queries", True),
            ("class, box", "of every frame", False),
        ],
        [
            ("attention maps", "query with its frame", True),
            ("mask head", "with finer maps", False),
            ("3D convolutions", "over the slot's 36 frames", True),
        ],
    ],
    "deformable_vistr": [
        [
            ("frames", "36 x 3 x 300 x 540", False),
            ("ResNet", "stride 32, 384 channels", False),
            ("encoder", "K points in h x w x t", True),
            ("decoder", "VisTR's, dense", False),
            ("heads, masks", "VisTR's", False),
        ],
    ],
    "tt_spn": [
        [
            ("frames", "t x 3 x h x w", False),
            ("Twins-SVT", "local and global attention", True),
            ("encoder, decoder", "VisTR's, with GELU", False),
            ("sine networks", "class and box", True),
            ("mask head", "VisTR's", False),
        ],
    ],
}

VARIANTS = [
    ("baseline", ["D", "FFN"]),
    ("attention_after", ["D", "S", "FFN"]),
    ("attention_before", ["S", "D", "FFN"]),
    ("encoder_after", ["(D FFN) x 6", "(S FFN) x 6"]),
    ("encoder_before", ["(S FFN) x 6", "(D FFN) x 6"]),
    ("split", ["D + S", "FFN"]),
]
"""The six encoders of MS-STS VIS, table S1: D deformable attention, S split attention."""


def flow(name: str, lines: list[list[Box]]) -> str:
    """Boxes from left to right, line by line."""
    parts = []
    for row, boxes in enumerate(lines):
        for column, box in enumerate(boxes):
            x, y = MARGIN + column * (WIDTH + GAP), MARGIN + row * (HEIGHT + GAP)
            parts.append(_box(x, y, WIDTH, HEIGHT, box))
            if column + 1 < len(boxes):
                parts.append(_arrow(x + WIDTH + 3, y + HEIGHT / 2, x + WIDTH + GAP - 5, y + HEIGHT / 2))
        if row + 1 < len(lines):
            x, y = MARGIN + WIDTH / 2, MARGIN + row * (HEIGHT + GAP) + HEIGHT
            last = MARGIN + (len(boxes) - 1) * (WIDTH + GAP) + WIDTH / 2
            middle = y + GAP / 2
            parts.append(f'<path d="M{last} {y + 3} V{middle} H{x}" fill="none" stroke="#4a5160" stroke-width="1.5"/>')
            parts.append(_arrow(x, middle, x, y + GAP - 5))
    wide = max(map(len, lines)) * (WIDTH + GAP) - GAP + 2 * MARGIN
    return _svg(wide, len(lines) * (HEIGHT + GAP) - GAP + 2 * MARGIN, f"How {name} works", parts)


def variants() -> str:
    """A line for each of the six encoders."""
    parts = []
    for row, (name, boxes) in enumerate(VARIANTS):
        y = MARGIN + row * 46
        parts.append(f'<text x="{MARGIN}" y="{y + 22}" font-size="14">{name}</text>')
        for column, text in enumerate(boxes):
            x = 150 + column * 160
            parts.append(_box(x, y, 126, 32, (text, "", "S" in text)))
            if column + 1 < len(boxes):
                parts.append(_arrow(x + 129, y + 16, x + 155, y + 16))
    return _svg(640, MARGIN * 2 + len(VARIANTS) * 46, "The six encoders of MS-STS VIS", parts)


def _box(x: float, y: float, width: float, height: float, box: Box) -> str:
    title, below, is_own = box
    fill, border = OWN if is_own else PLAIN
    middle, line = x + width / 2, y + height / 2 + (-5 if below else 5)
    lower = (
        f'<text x="{middle}" y="{line + 21}" font-size="12" text-anchor="middle" fill="#33363d">'
        f"{html.escape(below)}</text>"
        if below
        else ""
    )
    return (
        f'<rect x="{x}" y="{y}" width="{width}" height="{height}" rx="8" fill="{fill}" stroke="{border}" '
        f'stroke-width="{2 if is_own else 1}"/><text x="{middle}" y="{line}" font-size="14" font-weight="600" '
        f'text-anchor="middle" fill="#16181d">{html.escape(title)}</text>{lower}'
    )


def _arrow(x1: float, y1: float, x2: float, y2: float) -> str:
    return f'<line x1="{x1}" y1="{y1}" x2="{x2}" y2="{y2}" stroke="#4a5160" stroke-width="1.5" marker-end="url(#tip)"/>'


def _svg(width: float, height: float, title: str, parts: list[str]) -> str:
    tip = (
        '<marker id="tip" markerWidth="8" markerHeight="8" refX="6" refY="4" orient="auto">'
        '<path d="M0 0 L8 4 L0 8 z" fill="#4a5160"/></marker>'
    )
    body = "\n".join(parts)
    return (
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {width} {height}" width="{width}" height="{height}" '
        f'font-family="system-ui, sans-serif" role="img"><title>{title}</title><defs>{tip}</defs>'
        f'<rect width="100%" height="100%" fill="#ffffff"/>\n{body}\n</svg>\n'
    )


def drawings() -> dict[str, str]:
    """Every file with its content."""
    return {f"{name}.svg": flow(name, lines) for name, lines in SYSTEMS.items()} | {"ms_sts_encoders.svg": variants()}


if __name__ == "__main__":
    for file, content in drawings().items():
        (FOLDER / file).write_text(content, encoding="utf-8")
