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

SIZES = ((64, 96), (30, 60))
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
    optimizer = torch.optim.AdamW(loss.discriminator.parameters(), lr=1e-3)
    for _ in range(5):
        optimizer.zero_grad()
        losses()["discriminator"].backward()
        optimizer.step()
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
    # Of the patches of 32 x 32 pixels those that begin inside their clip: of the second one two of six.
    patches = torch.tensor([[[1, 1, 1], [1, 1, 1]]] * 2 + [[[1, 1, 0], [0, 0, 0]]] * 2)[:, None]
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
    corner = torch.tensor([[[[1.0, 0.0], [0.0, 0.0]]]])
    assert foreground([corner]).item() == 0.25


def test_without_features_there_is_no_competition() -> None:
    given, loss = case(), criterion()
    losses = loss(replace(given.prediction, memory=None), given.targets, given.clip)
    assert "adversarial" not in losses


def test_the_discriminator_scores_patches_of_stride_32() -> None:
    discriminator = Discriminator(32)
    features = [torch.randn(1, 32, *size) for size in ((9, 13), (5, 7), (3, 4))]
    scores = discriminator(torch.randn(1, 3, 9, 13), features, torch.rand(1, 1, 9, 13))
    assert scores.shape == (1, 1, 3, 4)


def test_pixels_and_masks_of_the_padding_are_hidden_too() -> None:
    """A clip of 32 x 64 pixels inside 64 x 96; both sides are multiples of every stride."""
    given, loss = case(), criterion()
    is_padding = given.clip.is_padding.clone()
    is_padding[1] = True
    is_padding[1, :, :32, :64] = False
    padding = [F.interpolate(is_padding.float(), size, mode="nearest").bool().flatten(2) for size in LEVELS]
    memory = replace(given.prediction.memory, is_padding=torch.cat(padding, 2))
    prediction = replace(given.prediction, memory=memory)
    targets = [given.targets[0], clip_target((32, 64), 1, num_frames=2, seed=1)]
    before = loss(prediction, targets, replace(given.clip, is_padding=is_padding))
    frames = torch.where(is_padding[:, :, None], 100.0, given.clip.frames)
    logits = given.logits.detach().clone()
    logits[1, :, :, 8:] = logits[1, :, :, :, 16:] = 50.0
    layers = (replace(prediction.final, masks=GivenMasks(logits)),)
    # Elsewhere the noise is in the losses, so the matches and the other losses are not compared.
    after = loss(replace(prediction, layers=layers), targets, replace(given.clip, frames=frames, is_padding=is_padding))
    for name in ("adversarial", "discriminator"):
        torch.testing.assert_close(before[name], after[name])


def test_a_scene_holds_the_three_finest_levels_and_the_frames_at_the_size_of_the_finest() -> None:
    given = case()
    memory = given.prediction.memory
    scene = Scene.of(memory, given.clip)
    assert [tuple(level.shape[-2:]) for level in scene.features] == list(LEVELS)
    start = 0
    for level, (h, w) in zip(scene.features, LEVELS, strict=True):
        own, hidden = memory.tokens[:, :, start : start + h * w], memory.is_padding[:, :, start : start + h * w]
        start += h * w
        for clip, t, i, j in ((0, 1, h - 1, w - 1), (1, 0, 0, 1), (1, 1, h - 1, w - 1)):
            wanted = own[clip, t, i * w + j] * (not hidden[clip, t, i * w + j])
            assert torch.equal(level[2 * clip + t, :, i, j], wanted)
    # Halfway between pixels 3 and 4 of every eight.
    own = given.clip.frames[0, 1, :, 11:13, 19:21].mean((1, 2))
    torch.testing.assert_close(scene.frames[1, :, 1, 2], own)
    assert torch.equal(scene.valid[:, 0].bool(), ~memory.is_padding[:, :, :96].reshape(4, 8, 12))
    assert torch.equal(scene.valid_patches[:, 0].bool(), ~memory.is_padding[:, :, 120:].reshape(4, 2, 3))


@pytest.mark.parametrize("level", [0, 1, 2])
def test_every_level_of_features_moves_the_scores_near_it_and_no_others(level: int) -> None:
    torch.manual_seed(0)
    discriminator = Discriminator(32)
    sizes = ((64, 64), (32, 32), (16, 16))
    features = [torch.randn(1, 32, *size) for size in sizes]
    frames, mask = torch.randn(1, 3, *sizes[0]), torch.rand(1, 1, *sizes[0])
    before = discriminator(frames, features, mask)
    features[level][:, :, 0, 0] += 10.0
    changed = (discriminator(frames, features, mask) != before)[0, 0]
    assert changed[0, 0]
    assert not changed[8:].any()
    assert not changed[:, 8:].any()
