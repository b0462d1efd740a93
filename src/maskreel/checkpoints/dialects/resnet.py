"""ResNets as torchvision stores them: a start for every model with such a backbone."""

from maskreel.checkpoints.dialects.table import Dialect, Drop, Fresh, State, layers, named_classes
from maskreel.errors import DataError
from maskreel.models.parts.backbones import ResNetConfig
from maskreel.models.seqformer import SeqFormerConfig
from maskreel.nn.backbones.resnet import BLOCKS, Depth

BOTTLENECKS = (50, 101)
NEW = "not part of a backbone: drawn as in a new model"


def resnet_config(state: State, prefix: str = "") -> ResNetConfig:
    """Depth and width of the ResNet under `prefix`; DataError for another kind."""
    blocks = tuple(layers(state, f"{prefix}layer{stage}.") for stage in (1, 2, 3, 4))
    has_bottlenecks = f"{prefix}layer1.0.conv3.weight" in state
    found: list[Depth] = [d for d, known in BLOCKS.items() if known == blocks and (d in BOTTLENECKS) == has_bottlenecks]
    if not found:
        known = ", ".join(map(str, BLOCKS))
        raise DataError(f"its ResNet has {blocks} blocks in the four stages, which is none of the depths {known}")
    inner = state[f"{prefix}layer1.0.conv2.weight"].shape
    if inner[0] != inner[1]:
        raise DataError(
            f"its backbone is a ResNeXt ({inner[0] // inner[1]} groups of channels), which Maskreel does not have"
        )
    return ResNetConfig(depth=found[0], width=state[f"{prefix}conv1.weight"].shape[0])


def _config(state: State, heads: int, num_classes: int | None) -> SeqFormerConfig:
    return SeqFormerConfig(backbone=resnet_config(state), **named_classes(num_classes))


RESNET = Dialect(
    name="resnet",
    title="a ResNet classifier of torchvision",
    keys=("conv1.weight", "bn1.running_var", "layer1.0.conv1.weight", "layer4.0.conv1.weight"),
    config=_config,
    rules=((r"^backbone\.", ""),),
    drops=(Drop(keys=("fc.weight", "fc.bias"), reason="classifier of ImageNet"),),
    fresh=(Fresh(pattern=r"(?!backbone\.)", reason=NEW),),
)
