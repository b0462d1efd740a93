"""Masks by convolutions whose weights each instance predicts for itself (CondInst; SeqFormer, section 3.4)."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

import torch
import torch.nn.functional as F
from einops import rearrange, repeat
from jaxtyping import Float, Int
from torch import Tensor, nn

from maskreel.geometry.grids import cell_positions
from maskreel.nn.layers.feedforward import Perceptron
from maskreel.structures import ClipMemory

HIDDEN = 8
"""Channels between the three dynamic layers."""
STRIDE = 8
"""Input pixels per cell of the mask features; masks come out at half of it."""


def aligned_upsample(x: Float[Tensor, "*n h w"], factor: int) -> Float[Tensor, "*n i j"]:
    """Bilinear upsampling that keeps cell (0, 0) at pixel `factor // 2` (CondInst's "aligned" rule)."""
    if factor == 1:
        return x
    lead, (h, w) = x.shape[:-2], x.shape[-2:]
    maps = F.pad(x.reshape(-1, 1, h, w), (0, 1, 0, 1), mode="replicate")
    maps = F.interpolate(maps, size=(factor * h + 1, factor * w + 1), mode="bilinear", align_corners=True)
    maps = F.pad(maps, (factor // 2, 0, factor // 2, 0), mode="replicate")
    return maps[..., : factor * h, : factor * w].reshape(*lead, factor * h, factor * w)


class MaskBranch(nn.Module):
    """Mask features of every frame at stride 8, fused coarse to fine from the three finest memory levels."""

    def __init__(self, width: int, channels: int) -> None:
        super().__init__()
        self.coarse = nn.Conv2d(width, width, 3, padding=1)
        self.middle = nn.Conv2d(width, width, 3, padding=1)
        self.fine = nn.Conv2d(width, width, 3, padding=1)
        self.reduce = nn.Conv2d(width, width // 4, 3, padding=1)
        self.out = nn.Conv2d(width // 4, channels, 3, padding=1)
        for conv in self.children():
            assert isinstance(conv, nn.Conv2d)
            nn.init.kaiming_uniform_(conv.weight, a=1)
            assert conv.bias is not None
            nn.init.zeros_(conv.bias)

    def forward(self, memory: ClipMemory) -> Float[Tensor, "b t d h w"]:
        b = memory.tokens.shape[0]
        fine, middle, coarse = (
            rearrange(tokens, "b t (h w) c -> (b t) c h w", h=h)
            for tokens, (h, _) in zip(_split_levels(memory)[:3], memory.level_sizes[:3], strict=True)
        )
        x = F.relu(self.coarse(coarse))
        x = middle + F.interpolate(x, size=middle.shape[-2:], mode="nearest")
        x = F.relu(self.middle(x))
        x = fine + F.interpolate(x, size=fine.shape[-2:], mode="nearest")
        x = F.relu(self.fine(x))
        x = F.relu(self.reduce(x))
        return rearrange(F.relu(self.out(x)), "(b t) c h w -> b t c h w", b=b)


def _split_levels(memory: ClipMemory) -> Sequence[Float[Tensor, "b t s c"]]:
    return memory.tokens.split([h * w for h, w in memory.level_sizes], 2)


@dataclass(frozen=True, kw_only=True, eq=False)
class DynamicMaskSource:
    """Masks of one decoder layer, decoded when somebody asks for them."""

    features: Float[Tensor, "b t d h w"]
    parameters: Float[Tensor, "b q e"]
    """Weights of the three layers, then their biases."""
    centres: Float[Tensor, "b t q 2"]
    """Reference of every query in pixels (x, y) of the un-padded clip."""
    is_relative: bool

    def select(self, clip: int, queries: Int[Tensor, " n"]) -> Float[Tensor, "n t i j"]:
        features, centres = self.features[clip], self.centres[clip][:, queries]
        t, channels, height, width = features.shape
        n = len(queries)
        first_in = channels + 2 * self.is_relative
        sizes = (first_in * HIDDEN, HIDDEN * HIDDEN, HIDDEN, HIDDEN, HIDDEN, 1)
        weight1, weight2, weight3, bias1, bias2, bias3 = self.parameters[clip][queries].split(sizes, -1)
        weight1 = rearrange(weight1, "n (o i) -> n o i", o=HIDDEN)
        cells = rearrange(features, "t c h w -> c (t h w)")
        x = (rearrange(weight1[..., -channels:], "n o c -> (n o) c") @ cells).view(n, HIDDEN, t, height, width)
        if self.is_relative:
            x = x + self._position_bias(weight1[..., :2], centres, height, width)
        x = F.relu(x.flatten(2) + bias1[..., None])
        x = F.relu(torch.baddbmm(bias2[..., None], weight2.view(n, HIDDEN, HIDDEN), x))
        x = torch.baddbmm(bias3[..., None], weight3.view(n, 1, HIDDEN), x)
        return aligned_upsample(x.view(n, t, height, width), 2)

    def _position_bias(
        self, weight: Float[Tensor, "n o 2"], centres: Float[Tensor, "t n 2"], height: int, width: int
    ) -> Float[Tensor, "n o t h w"]:
        """What the relative coordinates (centre minus cell) add to the first layer: they are affine in position.

        Hundreds of pixels do not fit the eight bits of bfloat16: this part is computed in float32 at least.
        """
        with torch.autocast(weight.device.type, enabled=False):
            weight = weight.to(torch.promote_types(weight.dtype, torch.float32))
            cells = cell_positions(height, width, STRIDE, weight.device).to(weight.dtype)
            at_centre = torch.einsum("nor,tnr->not", weight, centres.to(weight.dtype))
            at_cell = torch.einsum("nor,hwr->nohw", weight, cells)
            return at_centre[..., None, None] - at_cell[:, :, None]


class DynamicMasks(nn.Module):
    """Mask features once per clip; one set of convolution weights per query, the same in all frames."""

    def __init__(self, width: int, channels: int, *, coordinates: Literal["relative", "none"] = "relative") -> None:
        super().__init__()
        self.is_relative = coordinates == "relative"
        self.branch = MaskBranch(width, channels)
        inputs = channels + 2 * self.is_relative
        self.controller = Perceptron(width, width, inputs * HIDDEN + HIDDEN * HIDDEN + HIDDEN + 2 * HIDDEN + 1)
        for layer in self.controller.layers:
            assert isinstance(layer, nn.Linear)
            nn.init.xavier_uniform_(layer.weight)
            nn.init.zeros_(layer.bias)

    def forward(
        self,
        features: Float[Tensor, "b t d h w"],
        instance: Float[Tensor, "b q c"],
        reference: Float[Tensor, "b t q r"],
        clip_sizes: Float[Tensor, "b 2"],
    ) -> DynamicMaskSource:
        """`clip_sizes` are (width, height) of the un-padded clips in pixels."""
        centres = reference[..., :2] * repeat(clip_sizes, "b r -> b 1 1 r")
        return DynamicMaskSource(
            features=features,
            parameters=self.controller(instance),
            centres=centres,
            is_relative=self.is_relative,
        )
