"""The rule by which a claim is reproduced, contradicted or undecided. It was written down before the first run.

Every trained variant is measured on the same 1,000 resamplings of a set's test videos. The difference of two variants
is taken per resampling, and seeds are resampled with the videos. Reproduced: the 95 % interval lies above 0 and the
differences of all three seeds have one sign. Contradicted: below 0 likewise. Else undecided, with the smallest
difference that could have been seen: half the interval. A set on which the worse side stays below AP 15 does not test
the claim.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Literal

import numpy as np
from jaxtyping import Float

Verdict = Literal["reproduced", "contradicted", "undecided", "not testable", "not run"]
RESAMPLINGS = 1000
LEAST_AP = 15.0
"""Of the worse side, in percent, below which a set tests nothing."""
BOUNDS = (2.5, 97.5)


@dataclass(frozen=True, kw_only=True)
class Judgement:
    """What became of a claim on one set, in percent points."""

    verdict: Verdict
    difference: float | None = None
    low: float | None = None
    high: float | None = None
    per_seed: tuple[float, ...] = ()

    @property
    def smallest_visible(self) -> float | None:
        """Half the width of the interval."""
        return None if self.low is None or self.high is None else (self.high - self.low) / 2


def judge(
    better: Mapping[int, Float[np.ndarray, " n"]],
    worse: Mapping[int, Float[np.ndarray, " n"]],
    *,
    worse_ap: Mapping[int, float],
    seeds: tuple[int, ...],
    margin: float = 0.0,
) -> Judgement:
    """Both sides by seed: the figure over all videos first, then over the resamplings, in percent.

    `worse_ap` is the AP of the worse side by seed, whichever figure is judged.
    """
    if any(seed not in side for seed in seeds for side in (better, worse, worse_ap)):
        return Judgement(verdict="not run")
    differences = np.stack([better[seed] - worse[seed] + margin for seed in seeds])
    per_seed = tuple(float(value) for value in differences[:, 0])
    resampled = differences[:, 1:]
    drawn = np.random.default_rng(0).integers(len(seeds), size=(resampled.shape[1], len(seeds)))
    means = resampled[drawn, np.arange(resampled.shape[1])[:, None]].mean(1)
    low, high = (float(bound) for bound in np.percentile(means, BOUNDS))
    verdict: Verdict = "undecided"
    if low > 0 and min(per_seed) > 0:
        verdict = "reproduced"
    elif high < 0 and max(per_seed) < 0:
        verdict = "contradicted"
    if np.mean([worse_ap[seed] for seed in seeds]) < LEAST_AP:
        verdict = "not testable"
    return Judgement(verdict=verdict, difference=float(np.mean(per_seed)), low=low, high=high, per_seed=per_seed)
