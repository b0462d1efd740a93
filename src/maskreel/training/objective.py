"""A model and its loss as one module, so that the mask head runs inside the forward pass of data parallelism."""

from collections.abc import Iterator
from typing import Protocol, runtime_checkable

import torch
from jaxtyping import Float
from torch import Tensor, nn

from maskreel.models.catalog import ModelConfig
from maskreel.models.folder import build_criterion, build_model
from maskreel.structures import ClipBatch, ClipTarget

MODEL_PREFIX = "model."


@runtime_checkable
class AdversarialStep(Protocol):
    """What a loss has beside its value when it trains a discriminator against the model.

    The discriminator gets an optimizer of its own. Its loss is one of those that the objective returns.
    """

    learning_rate: float
    """Of the discriminator, constant."""

    def discriminator_parameters(self) -> Iterator[nn.Parameter]: ...

    @property
    def is_active(self) -> bool:
        """Whether the discriminator learns in this step."""
        ...

    def after_step(self) -> None:
        """To be called after every optimizer step."""


class Objective(nn.Module):
    """From a batch with its targets to weighted losses by name; their sum is what training minimises."""

    def __init__(self, model: nn.Module, criterion: nn.Module) -> None:
        super().__init__()
        self.model = model
        self.criterion = criterion

    def forward(self, clip: ClipBatch, targets: list[ClipTarget]) -> dict[str, Float[Tensor, ""]]:
        return self.criterion(self.model(clip), targets, clip)

    @property
    def adversarial_step(self) -> AdversarialStep | None:
        """The loss, where it trains a discriminator of its own against the model."""
        return self.criterion if isinstance(self.criterion, AdversarialStep) else None

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
