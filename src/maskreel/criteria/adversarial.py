"""Foreground-background separability: an adversarial loss on masks and encoder features (MS-STS VIS, section 3.3).

A discriminator sees the frames, the encoder's features and a foreground mask, and learns to tell true masks from
predicted ones; the model learns to make them alike, which also asks of the features that foreground and background can
be told apart. Training only: the discriminator belongs to the loss, not to the model.
"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Literal

import torch
import torch.nn.functional as F
from einops import rearrange
from jaxtyping import Float, Int
from torch import Tensor, nn
from torch.func import functional_call

from maskreel.criteria.processes import share_of
from maskreel.criteria.set_loss import stride4_masks
from maskreel.structures import ClipBatch, ClipMemory, ClipPrediction, ClipTarget, MaskDecoder

Form = Literal["bce", "l1"]


class ChannelNorm(nn.LayerNorm):
    """Layer norm over the channels of every cell of a map."""

    def __init__(self, channels: int) -> None:
        super().__init__(channels, eps=1e-6)

    def forward(self, input: Float[Tensor, "n c h w"]) -> Float[Tensor, "n c h w"]:
        return rearrange(super().forward(rearrange(input, "n c h w -> n h w c")), "n h w c -> n c h w")


class Discriminator(nn.Module):
    """Scores patches of 32 x 32 pixels: logits, high for true masks.

    Frame and mask enter at stride 8 with the finest features; the features of strides 16 and 32 are added on the way.
    """

    def __init__(self, width: int) -> None:
        super().__init__()
        self.fine = nn.Conv2d(3 + width + 1, width, 3, padding=1, bias=False)
        self.middle = nn.Conv2d(width, width, 3, padding=1, bias=False)
        quarter = width // 4
        self.coarse = nn.Sequential(
            nn.Conv2d(width, quarter, 3, padding=1, bias=False),
            *self._block(quarter, 2 * quarter),
            *self._block(2 * quarter, 4 * quarter),
            *self._block(4 * quarter, 8 * quarter),
            nn.LeakyReLU(0.2),
            nn.Conv2d(8 * quarter, 1, 3, padding=1, bias=False),
        )

    @staticmethod
    def _block(channels: int, out: int) -> Iterator[nn.Module]:
        yield nn.LeakyReLU(0.2)
        yield nn.Conv2d(channels, out, 3, padding=1, bias=False)
        yield ChannelNorm(out)

    def forward(
        self,
        frames: Float[Tensor, "n 3 h w"],
        features: Sequence[Float[Tensor, "n c _ _"]],
        mask: Float[Tensor, "n 1 h w"],
    ) -> Float[Tensor, "n 1 i j"]:
        """`features` have strides 8, 16 and 32; frames and mask come at stride 8."""
        x = self.fine(torch.cat((frames, features[0], mask), 1))
        x = F.max_pool2d(x, 3, stride=2, padding=1) + features[1]
        x = F.max_pool2d(self.middle(x), 3, stride=2, padding=1) + features[2]
        return self.coarse(x)


@dataclass(frozen=True, eq=False)
class KeptMasks:
    """Masks that remember what was decoded of them, so that no mask is decoded twice."""

    source: MaskDecoder
    decoded: dict[int, Float[Tensor, "n t h w"]] = field(default_factory=dict)
    """By clip, the last ones asked for."""

    def select(self, clip: int, queries: Int[Tensor, " n"]) -> Float[Tensor, "n t h w"]:
        self.decoded[clip] = self.source.select(clip, queries)
        return self.decoded[clip]


@dataclass(frozen=True, kw_only=True, eq=False)
class Scene:
    """What the discriminator sees beside the mask, frames of all clips in one row; zero on padding."""

    frames: Float[Tensor, "n 3 h w"]
    features: tuple[Float[Tensor, "n c _ _"], ...]
    valid: Float[Tensor, "n 1 h w"]
    """1 on un-padded cells of stride 8."""
    valid_patches: Float[Tensor, "n 1 i j"]
    """1 on un-padded cells of stride 32."""

    @classmethod
    def of(cls, memory: ClipMemory, clip: ClipBatch) -> "Scene":
        """Features of the three finest levels and the frames at the size of the finest."""
        sizes = memory.level_sizes[:3]
        valid, features = [], []
        cells = [h * w for h, w in memory.level_sizes]
        tokens, paddings = memory.tokens.split(cells, 2), memory.is_padding.split(cells, 2)
        for level, is_padding, (height, _) in zip(tokens[:3], paddings[:3], sizes, strict=True):
            valid.append(rearrange(~is_padding, "b t (h w) -> (b t) 1 h w", h=height).to(level.dtype))
            features.append(rearrange(level, "b t (h w) c -> (b t) c h w", h=height) * valid[-1])
        frames = F.interpolate(rearrange(clip.frames, "b t c h w -> (b t) c h w"), size=sizes[0], mode="bilinear")
        return cls(frames=frames * valid[0], features=tuple(features), valid=valid[0], valid_patches=valid[2])

    def detached(self) -> "Scene":
        return replace(self, features=tuple(level.detach() for level in self.features))


def foreground(masks: Sequence[Float[Tensor, "_ t h w"]]) -> Float[Tensor, "n 1 i j"]:
    """Chance that a cell belongs to any object of its clip, at half the masks' resolution; a row per frame."""
    union = torch.cat([1 - (1 - objects).prod(0) for objects in masks])
    return F.avg_pool2d(union[:, None], 2)


class AdversarialLoss(nn.Module):
    """Another loss, the model's `adversarial` term, and the `discriminator`'s own.

    One backward pass serves both sides: the discriminator's loss reads detached features and masks, the model's term a
    detached discriminator. The discriminator's parameters need an optimizer of their own (`learning_rate`), stepped
    while `is_active`; call `after_step` after every optimizer step. Both terms are zero in the first `warmup` steps.
    """

    steps: Tensor

    def __init__(
        self,
        loss: nn.Module,
        discriminator: Discriminator,
        *,
        form: Form = "bce",
        weight: float = 0.1,
        learning_rate: float = 1e-4,
        warmup: int = 0,
    ) -> None:
        super().__init__()
        self.loss, self.discriminator = loss, discriminator
        self.form: Form = form
        self.weight, self.learning_rate, self.warmup = weight, learning_rate, warmup
        self.register_buffer("steps", torch.zeros((), dtype=torch.int64))

    def discriminator_parameters(self) -> Iterator[nn.Parameter]:
        return self.discriminator.parameters()

    @property
    def is_active(self) -> bool:
        return int(self.steps) >= self.warmup

    def after_step(self) -> None:
        """Count an optimizer step; the count is part of the state, so that a resumed run goes on counting."""
        self.steps += 1

    def forward(
        self, prediction: ClipPrediction, targets: Sequence[ClipTarget], clip: ClipBatch
    ) -> dict[str, Float[Tensor, ""]]:
        memory, source = prediction.memory, prediction.final.masks
        if memory is None or source is None:
            return self.loss(prediction, targets, clip)
        kept = KeptMasks(source)
        layers = (*prediction.layers[:-1], replace(prediction.final, masks=kept))
        losses = self.loss(replace(prediction, layers=layers), targets, clip)
        if self.is_active:
            padded = (clip.frames.shape[-2], clip.frames.shape[-1])
            predicted = foreground([kept.decoded[number].sigmoid() for number in range(len(targets))])
            true = foreground([stride4_masks(target, padded) for target in targets])
            adversarial, discriminator = self._compete(Scene.of(memory, clip), predicted, true)
        else:
            # Data parallelism waits for the gradient of every parameter.
            adversarial = discriminator = torch.stack([p.sum() for p in self.discriminator.parameters()]).sum() * 0
        return losses | {"adversarial": self.weight * adversarial, "discriminator": discriminator}

    def _compete(
        self, scene: Scene, predicted: Float[Tensor, "n 1 h w"], true: Float[Tensor, "n 1 h w"]
    ) -> tuple[Float[Tensor, ""], Float[Tensor, ""]]:
        """(the model's term, the discriminator's loss)."""
        learning = dict(self.discriminator.named_parameters())
        fixed = {name: parameter.detach() for name, parameter in learning.items()}
        still = scene.detached()
        fake, real = self._score(learning, still, predicted.detach()), self._score(learning, still, true)
        fooled, patches = self._score(fixed, scene, predicted), scene.valid_patches
        if self.form == "bce":
            adversarial = _mean(_surprise(fooled, is_true=True), patches)
            telling = (_surprise(real, is_true=True) + _surprise(fake, is_true=False)) / 2
            return adversarial, _mean(telling, patches)
        wanted = self._score(fixed, scene, true)
        adversarial = _mean((wanted.sigmoid() - fooled.sigmoid()).abs(), patches)
        return adversarial, -_mean((real.sigmoid() - fake.sigmoid()).abs(), patches)

    def _score(
        self, parameters: Mapping[str, Tensor], scene: Scene, mask: Float[Tensor, "n 1 h w"]
    ) -> Float[Tensor, "n 1 i j"]:
        inputs = (scene.frames, scene.features, mask * scene.valid)
        return functional_call(self.discriminator, dict(parameters), inputs)


def _surprise(logits: Tensor, *, is_true: bool) -> Tensor:
    wanted = torch.ones_like(logits) if is_true else torch.zeros_like(logits)
    return F.binary_cross_entropy_with_logits(logits, wanted, reduction="none")


def _mean(values: Tensor, counts: Tensor) -> Tensor:
    """Mean over the places that count."""
    number = counts.sum().clamp(min=1)
    return (values * counts).sum() / number * share_of(number)
