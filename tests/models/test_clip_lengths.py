"""A model that was trained on five frames runs on any number of them."""

from dataclasses import replace

import pytest
import torch

from maskreel.models.catalog import ModelConfig
from maskreel.models.folder import build_model
from maskreel.models.parts.neighbours import Neighbours
from maskreel.models.parts.split_scale import Window
from maskreel.training.objective import build_objective
from maskreel.training.optimizer import Optimizers
from maskreel.training.recipe import TrainingConfig
from tests.builders import clip_batch, clip_target
from tests.checkpoints.tables import TINY

SIZE = (64, 96)
SPLIT = TINY["ms_sts"].split
ROWS: dict[str, ModelConfig] = {
    "ms_sts": TINY["ms_sts"],
    "ms_sts window": replace(TINY["ms_sts"], split=replace(SPLIT, inter=Window(), code="normalised")),
    "ms_sts cross": replace(TINY["ms_sts"], split=replace(SPLIT, inter="cross")),
    **{
        f"taformer {border}": replace(TINY["taformer"], neighbours=Neighbours(num_points=2, border=border))
        for border in ("clamp", "reflect", "shift", "mask")
    },
}


@pytest.mark.parametrize("name", list(ROWS))
def test_five_frames_in_training_and_any_number_afterwards(name: str) -> None:
    config = ROWS[name]
    torch.manual_seed(0)
    objective = build_objective(config)
    optimizers = Optimizers(objective, TrainingConfig(learning_rate=1e-3))
    losses = objective(clip_batch([SIZE], num_frames=5), [clip_target(SIZE, 2, num_frames=5)])
    torch.stack(list(losses.values())).sum().backward()
    optimizers.step(torch.amp.GradScaler("cpu", enabled=False))
    state = {name: tensor.clone() for name, tensor in objective.model.state_dict().items()}
    model = objective.model.eval()
    for num_frames in (1, 2, 17, 60):
        with torch.no_grad():
            final = model(clip_batch([SIZE], num_frames=num_frames)).final
        assert final.boxes.shape == (1, config.queries.count, num_frames, 4)
        assert final.boxes.isfinite().all()
        masks = final.masks.select(0, torch.arange(2))
        assert masks.shape == (2, num_frames, 16, 24)
        assert masks.isfinite().all()
    # Nothing in the model remembers a number of frames.
    assert {name: tensor.shape for name, tensor in build_model(config).state_dict().items()} == {
        name: tensor.shape for name, tensor in state.items()
    }
    assert all(torch.equal(state[name], tensor) for name, tensor in model.state_dict().items())
