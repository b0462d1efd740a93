"""What every model of the catalog promises, on small configs (`tests/models/tables.py`)."""

import re
import zlib
from dataclasses import dataclass, field, is_dataclass, replace
from pathlib import Path

import pytest
import torch
from jaxtyping import Float, Int
from torch import Tensor, nn

from maskreel.models.catalog import CATALOG, ModelConfig
from maskreel.models.folder import build_criterion, build_model
from maskreel.structures import ClipBatch, ClipPrediction, ClipTarget, FeatureMap, MaskDecoder
from maskreel.training.objective import Objective
from maskreel.training.optimizer import Optimizers
from maskreel.training.recipe import TrainingConfig
from tests.builders import clip_batch, clip_target
from tests.checkpoints import frame_query_tables
from tests.checkpoints.tables import OTHER_VALUES, START_ONLY, TINY, UNTRAINABLE, options, replaced, rows, turns

SIZES = ((64, 96), (50, 70))
"""(height, width) of the clips of a batch: the second one is padded."""
NAMES = sorted(TINY)
WITH_PYRAMID = sorted(set(TINY) - set(frame_query_tables.TINY))
"""The others promise more: see `test_frame_query_models`."""


def drawn(config: ModelConfig, deviation: float = 0.02) -> nn.Module:
    """A model whose every parameter is drawn from a normal distribution.

    Several last layers start at zero, which would hide what stands before them. Each parameter has its own stream, so
    that two configs agree in all parameters that they share.
    """
    model = build_model(config)
    with torch.no_grad():
        for name, parameter in model.named_parameters():
            generator = torch.Generator().manual_seed(zlib.crc32(name.encode()))
            parameter.copy_(deviation * torch.randn(parameter.shape, generator=generator))
    return model


def targets(num_objects: tuple[int, ...] = (3, 1), num_frames: int = 3) -> list[ClipTarget]:
    return [clip_target(size, n, num_frames=num_frames, seed=n) for size, n in zip(SIZES, num_objects, strict=True)]


def losses_of(model: nn.Module, config: ModelConfig, clip: ClipBatch, wanted: list[ClipTarget]) -> dict[str, Tensor]:
    return build_criterion(config)(model(clip), wanted, clip)


def gradients(model: nn.Module, losses: dict[str, Tensor]) -> dict[str, Tensor]:
    model.zero_grad()
    torch.stack(list(losses.values())).sum().backward()
    return {name: p.grad for name, p in model.named_parameters() if p.grad is not None}


# Shapes and gradients, for every row of the ablation tables.


@pytest.mark.slow
@pytest.mark.parametrize(("name", "config"), [pytest.param(n, c, id=f"{n}: {row}") for n, row, c in rows()])
def test_outputs_have_the_promised_shapes(name: str, config: ModelConfig) -> None:
    with torch.no_grad():
        prediction = build_model(config).eval()(clip_batch(SIZES))
    assert len(prediction.layers) == config.transformer.decoder_layers
    votes = {"per_clip": (1, config.num_classes), "per_frame": (3, config.num_classes + 1)}[prediction.votes]
    for layer in prediction.layers:
        assert layer.class_logits.shape == (2, config.queries.count, *votes)
        assert layer.boxes.shape == (2, config.queries.count, 3, 4)
        assert ((layer.boxes >= 0) & (layer.boxes <= 1)).all()
        if prediction.votes == "per_clip" or layer is prediction.final:
            assert layer.masks is not None
            assert layer.masks.select(1, torch.tensor([4, 0])).shape == (2, 3, 16, 24)
            assert layer.masks.select(0, torch.tensor([], dtype=torch.long)).shape == (0, 3, 16, 24)


@pytest.mark.parametrize(("name", "config"), [pytest.param(n, c, id=f"{n}: {row}") for n, row, c in rows()])
def test_every_parameter_has_a_gradient(name: str, config: ModelConfig) -> None:
    model = drawn(config)
    torch.manual_seed(2)  # of dropped paths
    found = gradients(model, losses_of(model, config, clip_batch(SIZES), targets()))
    trained = {parameter for parameter, p in model.named_parameters() if p.requires_grad}
    without = {parameter for parameter in trained if parameter not in found or not found[parameter].any()}
    assert {parameter for parameter in without if not re.fullmatch(UNTRAINABLE[name], parameter)} == set()
    assert all(gradient.isfinite().all() for gradient in found.values())


# Every option does something.


def test_every_model_of_the_catalog_is_tested() -> None:
    assert {config.kind for config in TINY.values()} == set(CATALOG)
    assert set(OTHER_VALUES) == set(UNTRAINABLE) == set(TINY)


@pytest.mark.parametrize("name", NAMES)
def test_the_table_knows_every_option_and_every_choice(name: str) -> None:
    known = {option.path: option for option in options(TINY[name])}
    assert set(OTHER_VALUES[name]) == set(known)
    for path, option in known.items():
        values = {type(value) if is_dataclass(value) else value for value in (option.value, *OTHER_VALUES[name][path])}
        assert len(values) > 1, f"{path} is not changed"
        if option.choices:
            assert values == set(option.choices), path


def test_every_record_of_the_options_is_part_of_a_small_config() -> None:
    listed = {choice for config in TINY.values() for option in options(config) for choice in option.choices}
    records = {choice for choice in listed if is_dataclass(choice)}
    used = {type(option.value) for config in TINY.values() for option in options(config)}
    assert records <= used


@pytest.mark.slow
@pytest.mark.parametrize("name", NAMES)
def test_every_option_changes_an_output_a_loss_or_a_gradient(name: str) -> None:
    before = fingerprint(TINY[name])
    assert not differ(before, fingerprint(TINY[name])), "the same config gives two results"
    idle = [
        f"{path}={value}"
        for owner, path, value in turns()
        if owner == name and not differ(before, fingerprint(replaced(TINY[name], path, value)))
    ]
    assert idle == [
        f"{path}={value}" for owner, path, value in turns() if (owner, path) in START_ONLY and owner == name
    ]


@pytest.mark.parametrize(("name", "path"), sorted(START_ONLY))
def test_options_of_the_start_change_the_first_values_of_parameters(name: str, path: str) -> None:
    config = TINY[name]
    for other in OTHER_VALUES[name][path]:
        states = []
        for each in (config, replaced(config, path, other)):
            torch.manual_seed(0)
            states.append(build_model(each).state_dict())
        changed = [key for key, value in states[0].items() if not torch.equal(value, states[1][key])]
        assert changed
        assert all(re.fullmatch(START_ONLY[name, path], key) for key in changed)


def fingerprint(config: ModelConfig) -> dict[str, Tensor]:
    """Outputs, losses and gradients of one training step, and where it leads a loss that learns, by name."""
    model = drawn(config, deviation=0.1).train()
    clip, wanted = clip_batch(SIZES), targets(num_objects=(4, 3))
    torch.manual_seed(0)
    objective = Objective(model, build_criterion(config))
    optimizers = Optimizers(objective, TrainingConfig())
    prediction = model(clip)
    losses = objective.criterion(prediction, wanted, clip)
    final = prediction.final
    outputs = {
        "classes": final.class_logits,
        "boxes": final.boxes,
        "masks": final.masks.select(0, torch.arange(2)),
        **{f"loss {name}": value for name, value in losses.items()},
        **{f"gradient {name}": value for name, value in gradients(model, losses).items()},
    }
    optimizers.step(torch.amp.GradScaler("cpu", enabled=False))
    learned = {f"after a step {name}": p for name, p in objective.criterion.named_parameters()}
    return {name: values.detach().clone() for name, values in (outputs | learned).items()}


def differ(a: dict[str, Tensor], b: dict[str, Tensor]) -> bool:
    """Whether two fingerprints differ by more than rounding."""
    if a.keys() != b.keys() or any(a[name].shape != b[name].shape for name in a):
        return True
    return any((a[name] - b[name]).abs().max() > 1e-4 * a[name].abs().max() for name in a)


# Batches, padding, empty clips.


def assert_same(a: ClipPrediction, b: ClipPrediction, clip_a: int, clip_b: int) -> None:
    """Two predictions agree about a clip, up to rounding."""
    for x, y in zip(a.layers, b.layers, strict=True):
        torch.testing.assert_close(x.class_logits[clip_a], y.class_logits[clip_b], rtol=1e-4, atol=1e-5)
        torch.testing.assert_close(x.boxes[clip_a], y.boxes[clip_b], rtol=1e-4, atol=1e-5)


def masks(prediction: ClipPrediction, clip: int) -> Float[Tensor, "n t h w"]:
    source = prediction.final.masks
    assert source is not None
    return source.select(clip, torch.arange(4))


@pytest.mark.parametrize("name", NAMES)
def test_a_clip_does_not_depend_on_its_batch(name: str) -> None:
    model = drawn(TINY[name], deviation=0.1).eval()
    with torch.no_grad():
        together = model(clip_batch(SIZES))
        for clip, size in enumerate(SIZES):
            alone = model(clip_batch([size], padded=(64, 96)))
            assert_same(together, alone, clip, 0)
            torch.testing.assert_close(masks(together, clip), masks(alone, 0), rtol=1e-4, atol=1e-4)


class GivenLevels(nn.Module):
    """Stands where the pyramid stands, and hands out given levels."""

    def __init__(self, levels: tuple[FeatureMap, ...]) -> None:
        super().__init__()
        self.levels = levels

    def forward(self, maps: tuple[FeatureMap, ...], clip: ClipBatch) -> tuple[FeatureMap, ...]:
        return self.levels


def with_more_padding(level: FeatureMap, pixels: int) -> FeatureMap:
    """The level with padded cells of arbitrary content on the right and at the bottom."""
    b, t, c, h, w = level.values.shape
    more = pixels // level.stride
    values = 3 * torch.randn(b, t, c, h + more, w + more, generator=torch.Generator().manual_seed(0))
    values[..., :h, :w] = level.values
    is_padding = torch.ones(b, t, h + more, w + more, dtype=torch.bool)
    is_padding[..., :h, :w] = level.is_padding
    return FeatureMap(values=values, is_padding=is_padding, stride=level.stride)


@pytest.mark.parametrize("name", WITH_PYRAMID)
def test_more_padding_changes_nothing_behind_the_pyramid(name: str) -> None:
    """From the pyramid on, whatever stands in padded cells leaves classes and boxes alone.

    Before it, that does not hold in the published systems: the backbone's convolutions and the pyramid's group norms
    read padded pixels. The convolutions of the mask branch do so too, so a mask is the same beyond their reach of 72
    pixels from the edge (3x3 at strides 32 and 16, three times 3x3 at stride 8).
    """
    model = drawn(TINY[name], deviation=0.1).eval()
    clip, reach = clip_batch([(128, 192)], num_frames=2), 72
    wider = clip_batch([(128, 192)], num_frames=2, padded=(192, 256))
    with torch.no_grad():
        levels = model.pyramid(model.backbone(clip)[-3:], clip)
        tight = model(clip)
        model.pyramid = GivenLevels(tuple(with_more_padding(level, 64) for level in levels))
        loose = model(wider)
    assert_same(tight, loose, 0, 0)
    rows, columns = (128 - reach) // 4, (192 - reach) // 4
    inside = (slice(None), slice(None), slice(rows), slice(columns))
    torch.testing.assert_close(masks(tight, 0)[inside], masks(loose, 0)[inside], rtol=1e-4, atol=1e-4)
    assert masks(tight, 0)[inside].std() > 0


@pytest.mark.parametrize("name", NAMES)
def test_clips_without_any_object_train(name: str) -> None:
    config = TINY[name]
    model = drawn(config).train()
    losses = losses_of(model, config, clip_batch(SIZES), targets(num_objects=(0, 0)))
    found = gradients(model, losses)
    assert losses["label"] > 0
    assert all(losses[other] == 0 for other in ("box", "giou", "mask", "dice"))
    # Data parallelism waits for the gradient of every parameter.
    assert set(found) == {parameter for parameter, _ in model.named_parameters()}
    assert all(gradient.isfinite().all() for gradient in found.values())
    optimizer = torch.optim.SGD(model.parameters(), lr=0.01)
    optimizer.step()
    after = losses_of(model, config, clip_batch(SIZES), targets(num_objects=(0, 0)))
    assert after["label"] < losses["label"]


@pytest.mark.parametrize("name", NAMES)
def test_a_clip_with_objects_beside_one_without_trains(name: str) -> None:
    model = drawn(TINY[name]).train()
    losses = losses_of(model, TINY[name], clip_batch(SIZES), targets(num_objects=(0, 2)))
    assert all(value.isfinite() and value > 0 for value in losses.values())


@pytest.mark.parametrize("name", NAMES)
def test_a_single_frame_is_a_clip(name: str) -> None:
    config = TINY[name]
    model = drawn(config).train()
    clip, wanted = clip_batch(SIZES, num_frames=1), targets(num_frames=1)
    found = gradients(model, losses_of(model, config, clip, wanted))
    assert all(gradient.isfinite().all() for gradient in found.values())
    assert masks(model(clip), 1).shape == (4, 1, 16, 24)


@pytest.mark.parametrize("name", NAMES)
def test_the_same_seed_gives_the_same_model_and_the_same_result(name: str) -> None:
    results = []
    for _ in range(2):
        torch.manual_seed(5)
        model = build_model(replaced(TINY[name], "transformer.dropout", 0.1)).train()
        results.append((model.state_dict(), model(clip_batch(SIZES)).final.boxes))
    assert all(torch.equal(results[0][0][key], values) for key, values in results[1][0].items())
    assert torch.equal(results[0][1], results[1][1])


# Masks are decoded on demand.


@dataclass(eq=False)
class CountedMasks:
    """Passes on to another source, and remembers which queries were asked for."""

    source: MaskDecoder
    asked: list[list[int]] = field(default_factory=list)

    def select(self, clip: int, queries: Int[Tensor, " n"]) -> Float[Tensor, "n t h w"]:
        self.asked.append(queries.tolist())
        return self.source.select(clip, queries)


@pytest.mark.parametrize("name", NAMES)
def test_training_decodes_the_masks_of_matched_queries_only(name: str) -> None:
    config, clip = TINY[name], clip_batch(SIZES)
    prediction = drawn(config)(clip)
    layers = tuple(
        replace(layer, masks=None if layer.masks is None else CountedMasks(layer.masks)) for layer in prediction.layers
    )
    build_criterion(config)(replace(prediction, layers=layers), targets(num_objects=(3, 1)), clip)
    counted = [layer.masks.asked for layer in layers if isinstance(layer.masks, CountedMasks)]
    assert len(counted) == (len(layers) if prediction.votes == "per_clip" else 1)
    assert all([len(queries) for queries in asked] == [3, 1] for asked in counted)


# Names of the state dict.


@pytest.mark.parametrize("name", NAMES)
def test_the_names_and_shapes_of_the_state_dict_are_pinned(name: str) -> None:
    """Saved models stay loadable: a change here needs a new format number.

    `python -m tests.models.snapshots` writes the files anew.
    """
    path = Path(__file__).parent / "state_dicts" / f"{name}.txt"
    assert state_lines(TINY[name]) == path.read_text().splitlines()


def state_lines(config: ModelConfig) -> list[str]:
    with torch.device("meta"):
        state = build_model(config).state_dict()
    return [f"{name} {'x'.join(map(str, tensor.shape)) or 'scalar'}" for name, tensor in state.items()]
