"""Frames per second as people type them: 25, 29.97 or 30000/1001."""

from collections.abc import Sequence
from fractions import Fraction
from typing import Annotated

from tyro.constructors import PrimitiveConstructorSpec

LEAST, MOST = 0.001, 1000


def _parse(words: Sequence[str]) -> float:
    try:
        rate = float(Fraction(words[0]))
    except (ValueError, OverflowError, ZeroDivisionError) as error:
        raise ValueError(f"{words[0]}: no number of frames per second, such as 25, 29.97 or 30000/1001") from error
    if not LEAST <= rate <= MOST:
        raise ValueError(f"{words[0]}: must lie between {LEAST} and {MOST}")
    return rate


Rate = Annotated[
    float,
    PrimitiveConstructorSpec(
        nargs=1,
        metavar="RATE",
        instance_from_str=_parse,
        is_instance=lambda value: isinstance(value, float),
        str_from_instance=lambda rate: [str(rate)],
    ),
]
"""An option that takes one; all else is refused as typed."""
