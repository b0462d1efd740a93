"""Which parameters of a model learn at a pace of their own."""

from dataclasses import dataclass

from torch import nn


class LocationLinear(nn.Linear):
    """A linear layer that says where to sample: reference points, sampling offsets. It learns at a pace of its own."""


@dataclass(frozen=True, kw_only=True, eq=False)
class ParameterGroups:
    """Parameters of a model by the pace at which they learn; every parameter stands in one group, in the model's order.

    The fields are the names of the groups in checkpoints' optimizers and in `TrainingConfig` (`backbone_factor`, ...).
    """

    rest: tuple[nn.Parameter, ...]
    backbone: tuple[nn.Parameter, ...]
    sampling: tuple[nn.Parameter, ...]
    """Of layers that say where to sample, wherever they stand."""


def group_parameters(model: nn.Module, backbone: nn.Module) -> ParameterGroups:
    """The groups of Deformable DETR: where to sample, the backbone, and the rest."""
    locations = (layer for layer in model.modules() if isinstance(layer, LocationLinear))
    sampling = {parameter for layer in locations for parameter in layer.parameters()}
    of_backbone = set(backbone.parameters()) - sampling
    return ParameterGroups(
        rest=tuple(each for each in model.parameters() if each not in sampling | of_backbone),
        backbone=tuple(each for each in model.parameters() if each in of_backbone),
        sampling=tuple(each for each in model.parameters() if each in sampling),
    )
