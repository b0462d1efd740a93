"""A model and its loss as one module, so that the mask head runs inside the forward pass of data parallelism."""

from collections.abc import Iterator

import torch
from jaxtyping import Float
from torch import Tensor, nn

from maskreel.criteria.adversarial import AdversarialLoss
from maskreel.models.catalog import ModelConfig
from maskreel.models.folder import build_criterion, build_model
from maskreel.structures import ClipBatch, ClipTarget

MODEL_PREFIX = "model."


class Objective(nn.Module):
    """From a batch with its targets to weighted losses by name; their sum is what training minimises."""

    def __init__(self, model: nn.Module, criterion: nn.Module) -> None:
        super().__init__()
        self.model = model
        self.criterion = criterion

    def forward(self, clip: ClipBatch, targets: list[ClipTarget]) -> dict[str, Float[Tensor, ""]]:
        return self.criterion(self.model(clip), targets, clip)

    @property
    def opponent(self) -> AdversarialLoss | None:
        """The loss, where it trains a discriminator of its own against the model."""
        return self.criterion if isinstance(self.criterion, AdversarialLoss) else None

    def parameters_by_name(self) -> Iterator[tuple[str, nn.Parameter]]:
        """Parameters of the model under its own names, those of the loss (if any) under `criterion.`."""
        for name, parameter in self.named_parameters():
            yield name.removeprefix(MODEL_PREFIX), parameter

    def state_by_name(self) -> dict[str, Tensor]:
        """Parameters and buffers under the names of `parameters_by_name`."""
        return {name.removeprefix(MODEL_PREFIX): tensor for name, tensor in self.state_dict().items()}

    @torch.no_grad()
    def load_state_by_name(self, state: dict[str, Tensor]) -> None:
        own = self.state_dict()
        renamed = {name: state[name.removeprefix(MODEL_PREFIX)] for name in own}
        self.load_state_dict(renamed)


def build_objective(config: ModelConfig) -> Objective:
    return Objective(build_model(config), build_criterion(config))
