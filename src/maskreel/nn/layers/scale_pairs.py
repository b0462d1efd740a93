"""Every level of a pyramid beside its next coarser neighbour: sizes, padding, the way from one grid to the other."""

from dataclasses import dataclass
from typing import Literal

import torch
import torch.nn.functional as F
from einops import rearrange
from jaxtyping import Bool, Float, Shaped
from torch import Tensor

from maskreel.structures import ClipMemory

Upsampling = Literal["bilinear", "nearest"]


@dataclass(frozen=True, kw_only=True, eq=False)
class ScalePairs:
    """Pairs of (level, partner): each level with the next coarser one, the coarsest with itself.

    Tokens of all levels follow one another as in `ClipMemory`; so do those of all partners. Cell (i, j) of a partner
    covers the cells (2i, 2j) to (2i + 1, 2j + 1) of its level, whatever was padded.
    """

    sizes: tuple[tuple[int, int], ...]
    """(rows, columns) of the levels."""
    is_padding: Bool[Tensor, "b s"]
    """The same in all frames of a clip."""

    @classmethod
    def of(cls, memory: ClipMemory) -> "ScalePairs":
        sizes = memory.level_sizes
        for (h, w), partner in zip(sizes[:-1], sizes[1:], strict=True):
            if partner != (-(h // -2), -(w // -2)):
                raise ValueError(f"levels of {sizes}: each must have half the rows and columns of the one before")
        return cls(sizes=sizes, is_padding=memory.is_padding[:, 0])

    @property
    def partner_sizes(self) -> tuple[tuple[int, int], ...]:
        return (*self.sizes[1:], self.sizes[-1])

    @property
    def first_level(self) -> int:
        """Number of tokens of the finest level, which is nobody's partner."""
        return self.sizes[0][0] * self.sizes[0][1]

    @property
    def last_level(self) -> int:
        return self.sizes[-1][0] * self.sizes[-1][1]

    def partners(self, tokens: Float[Tensor, "b t s c"], raw: Float[Tensor, "b t s c"]) -> Float[Tensor, "b t r c"]:
        """Tokens of all partners: levels two and up, and for the coarsest level its own `raw` tokens."""
        return torch.cat((tokens[:, :, self.first_level :], raw[:, :, -self.last_level :]), 2)

    @property
    def partner_padding(self) -> Bool[Tensor, "b r"]:
        return torch.cat((self.is_padding[:, self.first_level :], self.is_padding[:, -self.last_level :]), 1)

    def upsample(self, partners: Float[Tensor, "b t r c"], mode: Upsampling) -> Float[Tensor, "b t s c"]:
        """Partner tokens on the grids of their levels. Padded cells have no share in what un-padded cells get."""
        valid = ~self.partner_padding[:, None, :, None]
        up = self.resize(partners * valid, mode)
        if mode == "nearest":
            return up
        share = self.resize(valid.to(partners.dtype), mode)
        return up.div_(share.clamp(min=1e-6))

    def resize(self, partners: Float[Tensor, "b t r c"], mode: Upsampling) -> Float[Tensor, "b t s c"]:
        """Partner tokens on the grids of their levels; padded cells count like any other."""
        b = partners.shape[0]
        levels = []
        for tokens, size, (h, w) in zip(self.split_partners(partners), self.partner_sizes, self.sizes, strict=True):
            if size != (h, w):
                # The transposed view is channels-last, which needs no copy here and none on the way back.
                maps = rearrange(tokens, "b t (h w) c -> (b t) c h w", h=size[0])
                corners = None if mode == "nearest" else False
                maps = F.interpolate(maps, scale_factor=2, mode=mode, align_corners=corners)[..., :h, :w]
                tokens = rearrange(maps, "(b t) c h w -> b t (h w) c", b=b)
            levels.append(tokens)
        return torch.cat(levels, 2)

    def split(self, tokens: Shaped[Tensor, "b t s c"]) -> tuple[Tensor, ...]:
        """Level by level, each "b t (h w) c"."""
        return tokens.split([h * w for h, w in self.sizes], 2)

    def split_partners(self, partners: Shaped[Tensor, "b t r c"]) -> tuple[Tensor, ...]:
        """Partner by partner, each "b t (h w) c"."""
        return partners.split([h * w for h, w in self.partner_sizes], 2)
