"""How a model is run when it is scored; torch is not needed to say it."""

from collections.abc import Mapping
from dataclasses import dataclass, fields, replace
from typing import Any

from maskreel.inference.options import PredictorOptions, recorded_options

EVERY_SCORE = PredictorOptions(min_score=0.0)
"""What counts in average precision: (query, class) pairs of any score."""


@dataclass(frozen=True, kw_only=True)
class EvaluationConfig:
    """How a model is run over whole videos when it is scored."""

    predictor: PredictorOptions = EVERY_SCORE
    """Of pairs of query and class, those below `min_score` are left out."""


MOVED = {field.name: f"predictor.{field.name}" for field in fields(PredictorOptions)}
"""Old path to new path in an EvaluationConfig, which was a PredictorOptions itself once."""


def recorded_evaluation(
    inference: Mapping[str, Any], *, min_score: float | None = None, **changes: Any
) -> EvaluationConfig:
    """Options as a model folder records them, with changes that are not None; the defaults for what is unknown."""
    recorded = recorded_options(inference, **changes)
    least = inference.get("min_score", EVERY_SCORE.min_score) if min_score is None else min_score
    return EvaluationConfig(predictor=replace(recorded, min_score=least))
