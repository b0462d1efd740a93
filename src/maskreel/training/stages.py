"""The first stage of a recipe as a recipe of its own."""

from dataclasses import replace

from maskreel.models.catalog import ModelConfig
from maskreel.models.parts.frame_queries import FrameQueries
from maskreel.models.tt_spn import PerceptronHeads, TTSPNConfig
from maskreel.training.recipe import Recipe, SingleFrames

FIRST = "first"
"""Folder of the first stage in that of the run; it is a run of its own."""


def first_stage(recipe: Recipe) -> Recipe | None:
    """What is trained before the clips of a recipe: the same model for single frames, never validated."""
    stage = recipe.first
    if stage is None or stage.steps == 0:
        return None
    return replace(
        recipe,
        first=None,
        model=_for_single_frames(recipe.model, stage),
        data=replace(recipe.data, num_frames=1, batch_size=stage.batch_size),
        training=replace(
            recipe.training,
            steps=stage.steps,
            learning_rate=stage.learning_rate,
            warmup=stage.warmup,
            cells=stage.cells,
            schedule="step",
            drops=(),
            validate_every=0,
        ),
        evaluation=replace(
            recipe.evaluation, predictor=replace(recipe.evaluation.predictor, clip_frames=1, clip_overlap=0)
        ),
    )


def _for_single_frames(config: ModelConfig, stage: SingleFrames) -> ModelConfig:
    """A model whose query table is sized by frames, with the table of one, and the heads of the stage."""
    if stage.heads == "mlp" and isinstance(config, TTSPNConfig):
        config = replace(config, head=PerceptronHeads())
    if not isinstance(config.queries, FrameQueries):
        return config
    return replace(config, queries=replace(config.queries, frames=1))
