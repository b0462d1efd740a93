"""A recipe that trains in a second, on a data set of two tiny videos."""

from dataclasses import replace
from pathlib import Path

import pytest

from maskreel.data.augment import Augmentation
from maskreel.data.config import DataConfig
from maskreel.evaluation.options import EVERY_SCORE, EvaluationConfig
from maskreel.models.parts.backbones import ResNetConfig
from maskreel.models.parts.box_queries import BoxQueries, DeformableTransformer
from maskreel.models.seqformer import SeqFormerConfig
from maskreel.training.recipe import Recipe, TrainingConfig
from tests.builders import write_youtube_vis

TINY_MODEL = SeqFormerConfig(
    backbone=ResNetConfig(depth=18, width=8, norm="batch", frozen_stages=0),
    num_classes=2,
    transformer=DeformableTransformer(
        width=32, hidden=32, num_heads=4, num_points=2, encoder_layers=1, decoder_layers=2
    ),
    queries=BoxQueries(count=5),
)


@pytest.fixture(scope="session")
def data_root(tmp_path_factory: pytest.TempPathFactory) -> Path:
    root = tmp_path_factory.mktemp("data")
    write_youtube_vis(root, split="train")
    write_youtube_vis(root, split="valid")
    return root


@pytest.fixture(scope="session")
def recipe(data_root: Path) -> Recipe:
    """Two classes, dropout on, batch norm that moves, no validation."""
    return Recipe(
        name="tiny",
        model=TINY_MODEL,
        data=DataConfig(
            root=data_root,
            num_frames=2,
            batch_size=2,
            workers=0,
            augmentation=Augmentation(scales=(32, 48), max_size=64, crop_probability=0.0),
        ),
        training=TrainingConfig(
            steps=6, log_every=4, validate_every=0, checkpoint_every=2, warmup=2, drops=(5,), device="cpu"
        ),
        evaluation=EvaluationConfig(predictor=replace(EVERY_SCORE, short_side=32)),
    )
