"""ResNet-18/34/50/101 with torchvision's parameter names and the stride in the 3x3 convolution."""

from collections.abc import Iterator
from typing import Literal

import torch.nn.functional as F
from einops import rearrange
from jaxtyping import Float
from torch import Tensor, nn

from maskreel.nn.backbones.pyramid import LastStride
from maskreel.nn.layers.checkpointing import Checkpointed
from maskreel.nn.layers.normalize import FrozenBatchNorm, Norm, build_norm, fold_norm
from maskreel.nn.layers.padding import Padding, blank_padding
from maskreel.nn.layers.position import shrink_padding
from maskreel.structures import ClipBatch, FeatureMap

Depth = Literal[18, 34, 50, 101]
BLOCKS: dict[Depth, tuple[int, int, int, int]] = {
    18: (2, 2, 2, 2),
    34: (3, 4, 6, 3),
    50: (3, 4, 6, 3),
    101: (3, 4, 23, 3),
}


class BasicBlock(nn.Module):
    """Two 3x3 convolutions (depths 18 and 34)."""

    expansion = 1

    def __init__(self, channels: int, width: int, stride: int, norm: Norm) -> None:
        super().__init__()
        self.conv1 = nn.Conv2d(channels, width, 3, stride, padding=1, bias=False)
        self.bn1 = build_norm(norm, width)
        self.conv2 = nn.Conv2d(width, width, 3, padding=1, bias=False)
        self.bn2 = build_norm(norm, width)
        self.downsample = _shortcut(channels, width, stride, norm)

    def forward(
        self, x: Float[Tensor, "n c h w"], valid: Float[Tensor, "n 1 _ _"] | None = None
    ) -> Float[Tensor, "n d i j"]:
        y = F.relu(self.bn1(self.conv1(blank_padding(x, valid))), inplace=True)
        y = self.bn2(self.conv2(blank_padding(y, valid)))
        return F.relu(y.add_(x if self.downsample is None else self.downsample(x)), inplace=True)


class Bottleneck(nn.Module):
    """1x1, 3x3 (strided), 1x1 convolutions (depths 50 and 101)."""

    expansion = 4

    def __init__(self, channels: int, width: int, stride: int, norm: Norm) -> None:
        super().__init__()
        self.conv1 = nn.Conv2d(channels, width, 1, bias=False)
        self.bn1 = build_norm(norm, width)
        self.conv2 = nn.Conv2d(width, width, 3, stride, padding=1, bias=False)
        self.bn2 = build_norm(norm, width)
        self.conv3 = nn.Conv2d(width, 4 * width, 1, bias=False)
        self.bn3 = build_norm(norm, 4 * width)
        self.downsample = _shortcut(channels, 4 * width, stride, norm)

    def forward(
        self, x: Float[Tensor, "n c h w"], valid: Float[Tensor, "n 1 _ _"] | None = None
    ) -> Float[Tensor, "n d i j"]:
        y = F.relu(self.bn1(self.conv1(x)), inplace=True)
        y = F.relu(self.bn2(self.conv2(blank_padding(y, valid))), inplace=True)
        y = self.bn3(self.conv3(y))
        return F.relu(y.add_(x if self.downsample is None else self.downsample(x)), inplace=True)


_PAIRS = (("conv1", "bn1"), ("conv2", "bn2"), ("conv3", "bn3"), ("0", "1"))
"""Names under which a convolution and the norm behind it stand in a stem, a block or a shortcut."""


def _shortcut(channels: int, out: int, stride: int, norm: Norm) -> nn.Module | None:
    if stride == 1 and channels == out:
        return None
    return nn.Sequential(nn.Conv2d(channels, out, 1, stride, bias=False), build_norm(norm, out))


class ResNet(Checkpointed):
    """Feature maps of the four stages, strides 4, 8, 16 and 32, or 16 twice.

    `frozen_stages` parts of the net are not trained, counted from the stem: 2 freezes stem and first stage, as the
    published systems do; 0 trains everything. Batch norms of frozen parts keep their statistics too. With `padding`
    "masked" a map does not depend on how far its frame was padded: it is the map of the frame at its own size (group
    norm aside, which counts every cell).
    """

    def __init__(
        self,
        depth: Depth,
        *,
        width: int = 64,
        norm: Norm = "frozen",
        frozen_stages: int = 2,
        padding: Padding = "seen",
        last_stride: LastStride = 32,
    ) -> None:
        super().__init__()
        self.strides = (4, 8, 16, last_stride)
        self.is_masking = padding == "masked"
        # Batch norm would count a recomputed batch twice.
        self.has_stages = self.is_recomputable = norm != "batch"
        self.frozen_stages = frozen_stages
        block = BasicBlock if depth < 50 else Bottleneck
        self.conv1 = nn.Conv2d(3, width, 7, stride=2, padding=3, bias=False)
        self.bn1 = build_norm(norm, width)
        channels = width
        for stage, blocks in enumerate(BLOCKS[depth]):
            layers: list[nn.Module] = []
            for index in range(blocks):
                stride = self.strides[stage] // self.strides[max(stage - 1, 0)] if index == 0 else 1
                layers.append(block(channels, width << stage, stride, norm))
                channels = (width << stage) * block.expansion
            self.add_module(f"layer{stage + 1}", nn.Sequential(*layers))
        self.channels = tuple((width << stage) * block.expansion for stage in range(4))
        for module in self.modules():
            if isinstance(module, nn.Conv2d):
                nn.init.kaiming_normal_(module.weight, mode="fan_out", nonlinearity="relu")
        for part in self._frozen_parts():
            part.requires_grad_(False)

    def train(self, mode: bool = True) -> "ResNet":
        super().train(mode)
        for part in self._frozen_parts():
            part.eval()
        return self

    def _frozen_parts(self) -> list[nn.Module]:
        return list(self._parts())[: self.frozen_stages]

    def _parts(self) -> Iterator[nn.Module]:
        yield nn.ModuleList([self.conv1, self.bn1])
        yield from self._stages()

    def _stages(self) -> Iterator[nn.Module]:
        yield from (self.get_submodule(f"layer{stage}") for stage in (1, 2, 3, 4))

    def fold_norms(self) -> None:
        """Merge batch norms into the convolutions before them, for evaluation alone; group norms stay."""
        for owner in list(self.modules()):
            for first, second in _PAIRS:
                conv, norm = getattr(owner, first, None), getattr(owner, second, None)
                if isinstance(conv, nn.Conv2d) and isinstance(norm, FrozenBatchNorm | nn.BatchNorm2d):
                    setattr(owner, first, fold_norm(conv, norm))
                    setattr(owner, second, nn.Identity())

    def stages(
        self, x: Float[Tensor, "n 3 h w"], valid: Float[Tensor, "n 1 h w"] | None = None
    ) -> tuple[Float[Tensor, "n _ _ _"], ...]:
        """Maps of all four stages for single images; convolutions read zeros where `valid` is zero."""
        x = blank_padding(F.relu(self.bn1(self.conv1(x)), inplace=True), valid)
        x = F.max_pool2d(x, 3, stride=2, padding=1)
        maps = []
        for stage in self._stages():
            x = self.run_stage(self._through, stage, x, valid)
            maps.append(x)
        return tuple(maps)

    def _through(self, stage: nn.Module, x: Tensor, valid: Tensor | None) -> Tensor:
        for block in stage.children():
            x = self.run(block, x, valid) if self.is_recomputable else block(x, valid)
        return x

    def forward(self, clip: ClipBatch) -> tuple[FeatureMap, ...]:
        b, t = clip.frames.shape[:2]
        valid = rearrange(~clip.is_padding, "b t h w -> (b t) 1 h w").to(clip.frames.dtype)
        maps = self.stages(rearrange(clip.frames, "b t c h w -> (b t) c h w"), valid if self.is_masking else None)
        return tuple(
            FeatureMap(
                values=rearrange(x, "(b t) c h w -> b t c h w", b=b, t=t),
                is_padding=shrink_padding(clip.is_padding, (x.shape[-2], x.shape[-1])),
                stride=stride,
            )
            for x, stride in zip(maps, self.strides, strict=True)
        )
