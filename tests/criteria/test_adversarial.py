"""The adversarial loss: who learns from what, when it starts, and where its gradients go."""

from dataclasses import dataclass, replace

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor

from maskreel.criteria.adversarial import AdversarialLoss, Discriminator, Form, Scene, foreground
from maskreel.criteria.matching import MatchCosts
from maskreel.criteria.set_loss import LossWeights, SetLoss
from maskreel.structures import ClipBatch, ClipMemory, ClipPrediction, ClipTarget, LayerPrediction
from tests.builders import clip_batch, clip_target

SIZES = ((64, 96), (50, 70))
LEVELS = ((8, 12), (4, 6), (2, 3))


@dataclass(frozen=True, eq=False)
class GivenMasks:
    """Masks that were decoded beforehand."""

    logits: Tensor

    def select(self, clip: int, queries: Tensor) -> Tensor:
        return self.logits[clip, queries]


@dataclass(eq=False)
class Case:
    """A prediction whose features and masks are leaves, and what it is compared with."""

    clip: ClipBatch
    targets: list[ClipTarget]
    tokens: Tensor
    logits: Tensor
    prediction: ClipPrediction


def case(num_objects: tuple[int, int] = (2, 1)) -> Case:
    torch.manual_seed(0)
    clip = clip_batch(SIZES, num_frames=2)
    tokens = torch.randn(2, 2, 126, 32, requires_grad=True)
    logits = torch.randn(2, 4, 2, 16, 24, requires_grad=True)
    padding = [F.interpolate(clip.is_padding.float(), size, mode="nearest").bool().flatten(2) for size in LEVELS]
    memory = ClipMemory(
        tokens=tokens, is_padding=torch.cat(padding, 2), level_sizes=LEVELS, valid_ratios=torch.ones(2, 3, 2)
    )
    layer = LayerPrediction(
        class_logits=torch.randn(2, 4, 1, 3), boxes=torch.rand(2, 4, 2, 4), masks=GivenMasks(logits)
    )
    targets = [clip_target(size, n, num_frames=2, seed=n) for size, n in zip(SIZES, num_objects, strict=True)]
    return Case(clip, targets, tokens, logits, ClipPrediction(layers=(layer,), memory=memory))


def criterion(form: Form = "bce", warmup: int = 0) -> AdversarialLoss:
    torch.manual_seed(1)
    discriminator = Discriminator(32)
    with torch.no_grad():
        for parameter in discriminator.parameters():
            parameter.add_(0.1 * torch.randn_like(parameter))
    return AdversarialLoss(SetLoss(LossWeights(), MatchCosts()), discriminator, form=form, weight=0.1, warmup=warmup)


@pytest.mark.parametrize("form", ["bce", "l1"])
def test_the_models_term_reaches_masks_and_features_and_not_the_discriminator(form: Form) -> None:
    given, loss = case(), criterion(form)
    loss(given.prediction, given.targets, given.clip)["adversarial"].backward()
    assert given.tokens.grad is not None
    assert given.tokens.grad.any()
    assert given.logits.grad is not None
    assert given.logits.grad.any()
    assert all(parameter.grad is None for parameter in loss.discriminator.parameters())


@pytest.mark.parametrize("form", ["bce", "l1"])
def test_the_discriminators_loss_reaches_every_parameter_of_it_and_nothing_else(form: Form) -> None:
    given, loss = case(), criterion(form)
    loss(given.prediction, given.targets, given.clip)["discriminator"].backward()
    assert given.tokens.grad is None
    assert given.logits.grad is None
    assert all(parameter.grad is not None and parameter.grad.any() for parameter in loss.discriminator.parameters())


@pytest.mark.parametrize("form", ["bce", "l1"])
def test_each_side_gains_by_its_own_loss(form: Form) -> None:
    """A few steps down the discriminator's loss lower it; a few steps of the masks alone lower the model's term."""
    given, loss = case(), criterion(form)

    def losses() -> dict[str, Tensor]:
        return loss(given.prediction, given.targets, given.clip)

    first = losses()
    rival = torch.optim.AdamW(loss.discriminator.parameters(), lr=1e-3)
    for _ in range(5):
        rival.zero_grad()
        losses()["discriminator"].backward()
        rival.step()
    second = losses()
    assert second["discriminator"] < first["discriminator"]
    model = torch.optim.AdamW([given.logits], lr=0.3)
    for _ in range(5):
        model.zero_grad()
        losses()["adversarial"].backward()
        model.step()
    assert losses()["adversarial"] < second["adversarial"]


@pytest.mark.parametrize("form", ["bce", "l1"])
def test_the_forms_are_their_formulas(form: Form) -> None:
    """With as many queries as objects every query is matched, so that the foreground is known."""
    given, loss = case(num_objects=(4, 4)), criterion(form)
    memory = given.prediction.memory
    assert memory is not None
    scene = Scene.of(memory, given.clip)
    h, w = given.clip.frames.shape[-2:]
    masks = [F.pad(t.masks, (0, w - t.masks.shape[-1], 0, h - t.masks.shape[-2])) for t in given.targets]
    true = foreground([mask[:, :, 2::4, 2::4].float() for mask in masks])
    with torch.no_grad():
        fake, real = (
            loss.discriminator(scene.frames, scene.features, mask * scene.valid)
            for mask in (foreground(list(given.logits.sigmoid())), true)
        )
    if form == "bce":
        wanted = F.softplus(-fake), (F.softplus(-real) + F.softplus(fake)) / 2
    else:
        distance = (real.sigmoid() - fake.sigmoid()).abs()
        wanted = distance, -distance
    ours = loss(given.prediction, given.targets, given.clip)
    patches = scene.valid_patches
    adversarial, discriminator = ((value * patches).sum() / patches.sum() for value in wanted)
    torch.testing.assert_close(ours["adversarial"], 0.1 * adversarial)
    torch.testing.assert_close(ours["discriminator"], discriminator)


def test_nothing_competes_before_the_warmup_is_over() -> None:
    given, loss = case(), criterion(warmup=2)
    for step in range(4):
        losses = loss(given.prediction, given.targets, given.clip)
        assert loss.is_active == (step >= 2)
        assert bool(losses["adversarial"] != 0) == bool(losses["discriminator"] != 0) == (step >= 2)
        # Data parallelism waits for the gradient of every parameter.
        losses["discriminator"].backward()
        assert all(parameter.grad is not None for parameter in loss.discriminator.parameters())
        loss.after_step()
    assert loss.state_dict()["steps"] == 4


def test_losses_of_the_model_are_those_without_an_adversary() -> None:
    given, loss = case(), criterion()
    ours = loss(given.prediction, given.targets, given.clip)
    plain = loss.loss(given.prediction, given.targets, given.clip)
    assert set(ours) == {*plain, "adversarial", "discriminator"}
    assert all(torch.equal(ours[name], value) for name, value in plain.items())


def test_padding_is_hidden_from_the_discriminator() -> None:
    given, loss = case(), criterion()
    before = loss(given.prediction, given.targets, given.clip)
    memory = given.prediction.memory
    assert memory is not None
    noise = torch.where(memory.is_padding[..., None], 100.0, 0.0)
    other = replace(given.prediction, memory=replace(memory, tokens=given.tokens + noise))
    after = loss(other, given.targets, given.clip)
    assert torch.equal(before["adversarial"], after["adversarial"])


def test_clips_without_objects_have_an_empty_foreground() -> None:
    given, loss = case(num_objects=(0, 0)), criterion()
    losses = loss(given.prediction, given.targets, given.clip)
    torch.stack(list(losses.values())).sum().backward()
    assert losses["adversarial"].isfinite()
    assert foreground([torch.zeros(0, 2, 16, 24), torch.ones(1, 2, 16, 24)])[:, 0].mean((1, 2)).tolist() == [0, 0, 1, 1]


def test_foreground_is_the_chance_of_any_object() -> None:
    masks = torch.tensor([[[[0.5, 0.5], [0.5, 0.5]]], [[[0.2, 0.2], [0.2, 0.2]]]])
    torch.testing.assert_close(foreground([masks]), torch.tensor([[[[1 - 0.5 * 0.8]]]]))


def test_without_features_there_is_no_competition() -> None:
    given, loss = case(), criterion()
    losses = loss(replace(given.prediction, memory=None), given.targets, given.clip)
    assert "adversarial" not in losses


def test_the_discriminator_scores_patches_of_stride_32() -> None:
    discriminator = Discriminator(32)
    features = [torch.randn(1, 32, *size) for size in ((9, 13), (5, 7), (3, 4))]
    scores = discriminator(torch.randn(1, 3, 9, 13), features, torch.rand(1, 1, 9, 13))
    assert scores.shape == (1, 1, 3, 4)
