"""What can be typed after train; it brings torch with it, because a model's options stand beside the model."""

from dataclasses import dataclass
from pathlib import Path
from typing import Annotated

import tyro

from maskreel.cli.records.overwrite import Overwrite
from maskreel.data.config import DataConfig
from maskreel.evaluation.options import EvaluationConfig
from maskreel.models.catalog import ModelConfig
from maskreel.training.recipe import Recipe, SingleFrames, TrainingConfig

AUTO = Path("auto")
"""The value of `--resume` for a run that is found, or begun."""


@dataclass(frozen=True, kw_only=True)
class Train:
    """Train a recipe; everything below can be overridden."""

    recipe: Annotated[str, tyro.conf.Positional]
    """Name of the recipe."""
    model: ModelConfig
    data: DataConfig
    training: TrainingConfig
    evaluation: EvaluationConfig
    first: SingleFrames | None = None
    """What is learnt before, from which the run starts."""
    out: Path | None = None
    """Run folder; default runs/train/RECIPE, then RECIPE-2 and so on."""
    init: str | None = None
    """Weights to start from: a foreign file (see maskreel convert), a run or model folder, or the word bundled; a class
    head for other classes is drawn anew."""
    log: str = "csv"
    """Where figures are told, comma-separated: csv (results.csv, always), tensorboard (needs the extra track)."""
    resume: Path | None = None
    """Run folder to go on with (instead of a recipe), or the word auto: behind a recipe its run in --out (default
    runs/train/RECIPE), from the newest whole checkpoint, begun where there is none; else the newest run."""
    max_memory: str | None = None
    """Have a training choose how it makes its step so that it takes no more memory than this, such as 8GB: smaller
    batches, more of them, activations computed again, bf16, in this order; the clips of a step stay as many."""
    dry_run: bool = False
    """Print what --max-memory chooses, and train nothing."""
    quiet: bool = False
    """Report nothing but warnings and errors."""
    overwrite: Overwrite = False
    json: str | None = None
    """Also write the run folder and the last line of its results as JSON here; without a path, JSON alone on stdout."""

    @classmethod
    def of(cls, recipe: Recipe, *, resume: Path | None = None) -> "Train":
        """The options that a recipe, or the run that is resumed, has before anything else is typed."""
        return cls(
            recipe=recipe.name,
            model=recipe.model,
            data=recipe.data,
            training=recipe.training,
            evaluation=recipe.evaluation,
            first=recipe.first,
            resume=resume,
        )

    def to_recipe(self) -> Recipe:
        return Recipe(
            name=self.recipe,
            model=self.model,
            data=self.data,
            training=self.training,
            evaluation=self.evaluation,
            first=self.first,
        )
