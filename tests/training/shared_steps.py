"""Some steps of training in float64, alone or under torchrun: what of it must not depend on the number of processes.

`python -m tests.training.shared_steps DATA OUT KINDS STEPS BATCH ACCUMULATE DTYPE`
"""

import json
import sys
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import torch
from safetensors.torch import save_file

from maskreel.data.augment import Augmentation
from maskreel.data.config import DataConfig
from maskreel.data.loading import ClipLoader, TrainingBatch
from maskreel.models.parts.backbones import ResNetConfig
from maskreel.training.distributed import processes, share_batches, sharing
from maskreel.training.random_state import seed_random
from maskreel.training.recipe import Recipe, TrainingConfig
from maskreel.training.run_data import load_run_data, training_loader
from maskreel.training.step import Learner
from tests.checkpoints.tables import TINY


def batches(loader: ClipLoader, dtype: torch.dtype) -> Iterator[TrainingBatch]:
    for batch in loader:
        targets = tuple(replace(target, boxes=target.boxes.to(dtype)) for target in batch.targets)
        yield replace(batch, clips=replace(batch.clips, frames=batch.clips.frames.to(dtype)), targets=targets)


def main(data: str, out: str, kinds: str, steps: str, batch: str, accumulate: str, dtype_name: str) -> None:
    dtype = getattr(torch, dtype_name)
    torch.set_default_dtype(dtype)
    with processes("cpu") as group:
        for kind in kinds.split(","):
            config = replace(TINY[kind], num_classes=2)
            if isinstance(config.backbone, ResNetConfig):
                # Statistics of a batch would depend on what else is in it, and on its padding.
                config = replace(config, backbone=replace(config.backbone, norm="frozen"))
            recipe = Recipe(
                name=kind,
                model=config,
                data=DataConfig(
                    root=Path(data),
                    num_frames=2,
                    batch_size=int(batch),
                    workers=0,
                    augmentation=Augmentation(scales=(32, 48), max_size=64, crop_probability=0.0),
                ),
                training=TrainingConfig(steps=int(steps), accumulate=int(accumulate), validate_every=0, device="cpu"),
            )
            share = share_batches(recipe.data.batch_size, recipe.training.accumulate, group.world_size)
            with sharing(share, group):
                seed_random(0)
                learner = Learner(recipe, group, Path(out), accumulate=share.accumulate)
                loader = training_loader(load_run_data(recipe).training, recipe.data, group, share, seed=0)
                taken = batches(loader, dtype)
                losses, first = [], {}
                for step in range(int(steps)):
                    losses.append(learner.step(step, taken))
                    if step == 0:
                        found = learner.objective.named_parameters()
                        first = {name: one.grad.clone() for name, one in found if one.grad is not None}
            if group.is_first:
                place = Path(out) / kind
                place.mkdir(parents=True, exist_ok=True)
                (place / "losses.json").write_text(json.dumps(losses))
                weights = {name: one.clone() for name, one in learner.objective.state_dict().items()}
                save_file(weights, place / "weights.safetensors")
                save_file(first, place / "gradients.safetensors")


if __name__ == "__main__":
    main(*sys.argv[1:])
