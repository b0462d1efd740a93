"""How far a run is."""

from collections.abc import Mapping
from dataclasses import dataclass, field


@dataclass(frozen=True, kw_only=True)
class Best:
    """The best validation so far."""

    ap: float
    step: int


@dataclass(kw_only=True)
class LossMeans:
    """Running means of the losses since the last line."""

    sums: dict[str, float] = field(default_factory=dict)
    steps: int = 0

    def add(self, losses: Mapping[str, float]) -> None:
        for name, value in losses.items():
            self.sums[name] = self.sums.get(name, 0.0) + value
        self.steps += 1

    def take(self) -> dict[str, float]:
        """The means, and start anew."""
        means = {name: total / max(1, self.steps) for name, total in self.sums.items()}
        self.sums, self.steps = {}, 0
        return means


@dataclass(kw_only=True)
class Progress:
    """All that changes from step to step beside the learner and the place in the data."""

    step: int = 0
    """Optimizer steps done."""
    is_reported: bool = True
    """Whether the validation and the line of results.csv that the step asks for are done."""
    seconds: float = 0.0
    """Time trained, over all resumptions."""
    best: Best | None = None
    best_average: Best | None = None
    """Of the averaged weights."""
    means: LossMeans = field(default_factory=LossMeans)

    def advance(self, losses: Mapping[str, float], seconds: float) -> None:
        """Count a step."""
        self.step += 1
        self.seconds += seconds
        self.means.add(losses)
        self.is_reported = False

    def improves(self, ap: float | None) -> bool:
        """Note the AP of a validation of this step; whether it is the best so far."""
        if ap is None or (self.best is not None and ap <= self.best.ap):
            return False
        self.best = Best(ap=ap, step=self.step)
        return True

    def average_improves(self, ap: float | None) -> bool:
        """As `improves`, for the averaged weights."""
        if ap is None or (self.best_average is not None and ap <= self.best_average.ap):
            return False
        self.best_average = Best(ap=ap, step=self.step)
        return True
