"""What attention is said to read is what it read: summed up by hand, it gives what the layers computed."""

import itertools
from typing import Any

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from maskreel.errors import UsageError
from maskreel.inference.inspection import decoder_attention, encoder_attention, reads_of_pass
from maskreel.inference.looks import Token, looks_of_queries, looks_of_token
from maskreel.kernels.maps import Maps
from maskreel.models.catalog import ModelConfig
from maskreel.models.folder import build_model
from maskreel.nn.layers.dense_attention import Attention
from maskreel.nn.layers.recording import record_points, recording
from maskreel.nn.layers.split_attention import InterScaleBlock, IntraScaleBlock
from maskreel.structures import ClipMemory, Looks
from tests.builders import clip_batch
from tests.checkpoints.tables import TINY, replaced, rows
from tests.models.test_contract import drawn

SHAPING = ("as it is", "split.i", "split.sharing", "encoder_", "encoded_", "decoder_", "neighbours", "spatial_levels")
CHOSEN = ("split.sharing=shared", "split.inter=full", "encoder_attention=frames_as_levels")
OFTEN = ("ms_sts", "taformer", "deformable_vistr")
"""Whose form as it is, and in one other choice, is tried before each commit; all others at night."""
CASES = [
    pytest.param(
        config,
        id=f"{name}: {row}",
        marks=() if (row == "as it is" and name in OFTEN) or row in CHOSEN else pytest.mark.nightly,
    )
    for name, row, config in rows()
    if row.startswith(SHAPING) and "neighbours.fusion" not in row
]
CLIP = clip_batch([(50, 60)], padded=(64, 96))
"""Padded to the right and below."""


def prepared(config: ModelConfig) -> Any:
    """Far from its start, where most points and weights are the same."""
    return drawn(config, deviation=0.3).eval()


class Computed:
    """What went into and came out of the projections of attention layers, in the order of the calls."""

    def __init__(self, layer: nn.Module) -> None:
        self.read: list[Tensor] = []
        self.values: list[Tensor] = []
        names = {"output_proj": self.read, "out_proj": self.read, "attention_out": self.read}
        for name, kept in names.items():
            if hasattr(layer, name):
                getattr(layer, name).register_forward_pre_hook(lambda module, inputs, kept=kept: kept.append(inputs[0]))
        for name in ("value_proj", "qkv", "norm1"):
            if hasattr(layer, name):
                getattr(layer, name).register_forward_hook(lambda module, inputs, output: self.values.append(output))


def sampled_by_hand(table: Tensor, looks: Looks, memory: ClipMemory, heads: int) -> Tensor:
    """Weighted sum of bilinear (trilinear) samples, point by point, of values "t s c"."""
    values = table.unflatten(-1, (heads, -1)).double().numpy()
    starts = [0, *itertools.accumulate(h * w for h, w in memory.level_sizes)]
    ratios = memory.valid_ratios[0].double().numpy()
    total = np.zeros(values.shape[2:])
    columns = (looks.head, looks.frame, looks.level, looks.place, looks.weight)
    for head, frame, level, place, weight in zip(*(column.tolist() for column in columns), strict=True):
        height, width = memory.level_sizes[level]
        x, y = place[0] * ratios[level, 0] * width - 0.5, place[1] * ratios[level, 1] * height - 0.5
        for t, row, column in itertools.product(*((int(np.floor(p)), int(np.floor(p)) + 1) for p in (frame, y, x))):
            share = (1 - abs(frame - t)) * (1 - abs(y - row)) * (1 - abs(x - column))
            if 0 <= t < len(values) and 0 <= row < height and 0 <= column < width:
                total[head] += weight * share * values[t, starts[level] + row * width + column, head]
    return torch.from_numpy(total).flatten()


def cells_by_hand(tables: dict[int, Tensor], looks: Looks, memory: ClipMemory, heads: int) -> Tensor:
    """Weighted sum of the values of keys; `tables` has those of each level, "t (h w) c"."""
    assert looks.cells is not None
    total = torch.zeros(heads, next(iter(tables.values())).shape[-1] // heads, dtype=torch.float64)
    cell = (looks.place * looks.cells[looks.level] - 0.5).round().long()
    for n in range(len(looks.head)):
        level, head, t = int(looks.level[n]), int(looks.head[n]), int(looks.frame[n])
        column, row = cell[n].tolist()
        value = tables[level][t, row * memory.level_sizes[level][1] + column].unflatten(-1, (heads, -1))
        total[head] += looks.weight[n] * value[head].double()
    return total.flatten()


def split_levels(values: Tensor, memory: ClipMemory) -> dict[int, Tensor]:
    return dict(enumerate(values.split([h * w for h, w in memory.level_sizes], 1)))


def expected(layer: Any, computed: Computed, looks: Looks, token: Token, memory: ClipMemory) -> Tensor:
    """What the layer should have read, from its values and what it is said to look at."""
    heads = layer.num_heads
    if isinstance(layer, IntraScaleBlock):
        return cells_by_hand(split_levels(computed.values[0][0].chunk(3, -1)[2], memory), looks, memory, heads)
    if isinstance(layer, InterScaleBlock):
        if layer.concat == "channel":
            value = computed.values[1][0].chunk(3, -1)[2]
            return cells_by_hand(split_levels(value, memory), looks, memory, heads)
        return inter_by_hand(layer, computed, looks, token, memory)
    tokens, shape = memory.tokens.shape[1], memory.tokens.shape
    padding = memory.is_padding.reshape(tokens, -1)
    value = computed.values[0].reshape(tokens, -1, shape[-1]).masked_fill(padding[..., None], 0)
    return sampled_by_hand(value, looks, memory, heads)


def inter_by_hand(layer: Any, computed: Computed, looks: Looks, token: Token, memory: ClipMemory) -> Tensor:
    fine, coarse = computed.values[:2]
    width = fine.shape[-1]
    weight, bias = layer.qkv.weight[2 * width :], layer.qkv.bias[2 * width :]
    near, far = (F.linear(x[0], weight, bias) for x in (fine, coarse))
    sizes, level = memory.level_sizes, token.level
    coarser = min(level + 1, len(sizes) - 1)
    own = split_levels(near, memory)[level]
    if layer.reach == "colocated":
        # Its partner was brought to the grid of the level: the same place in it.
        partner = split_levels(far, memory)[level][:, [token.row * sizes[level][1] + token.column]]
    else:
        counts = [h * w for h, w in (*sizes[1:], sizes[-1])]
        partner = far.split(counts, 1)[level]
    reads = {"cross": ["far"], "full": ["far", "near"]}.get(layer.reach, ["near", "far"])
    if reads == ["far"]:
        return cells_by_hand({coarser: partner}, looks, memory, layer.num_heads)
    if reads == ["far", "near"]:
        halves = {"far": looks.level == coarser, "near": looks.level == level}
        if coarser == level:
            per_frame = 2 * sizes[level][0] * sizes[level][1]
            first = torch.arange(len(looks.head)) % per_frame < per_frame // 2
            halves = {"far": first, "near": ~first}
    else:
        half = len(looks.head) // 2 if layer.is_paired or coarser == level else int((looks.level == level).sum())
        first = torch.arange(len(looks.head)) < half
        halves = {"near": first, "far": ~first}
    total = torch.zeros(1)
    for name, chosen in halves.items():
        part = Looks(
            head=looks.head[chosen],
            frame=looks.frame[chosen],
            level=looks.level[chosen],
            place=looks.place[chosen],
            weight=looks.weight[chosen],
            cells=looks.cells,
        )
        if name == "near":
            total = total + cells_by_hand({level: own}, part, memory, layer.num_heads)
        elif layer.reach == "colocated":
            values = partner[part.frame.long(), 0].unflatten(-1, (layer.num_heads, -1))
            chosen_heads = values[torch.arange(len(values)), part.head].double() * part.weight[:, None]
            total = (
                total
                + torch.zeros(layer.num_heads, chosen_heads.shape[-1], dtype=torch.float64)
                .index_add(0, part.head, chosen_heads)
                .flatten()
            )
        else:
            total = total + cells_by_hand({coarser: partner}, part, memory, layer.num_heads)
    return total


def run(model: Any, layers: list[nn.Module]) -> tuple[dict[nn.Module, Any], ClipMemory, Any]:
    """What the layers read, the encoder's memory, and what the model says."""
    kept: list[ClipMemory] = []
    hook = model.encoder.register_forward_hook(lambda module, inputs, output: kept.append(output))
    with torch.no_grad(), recording(layers) as reads:
        prediction = model(CLIP)
    hook.remove()
    return reads, kept[0], prediction


@pytest.mark.slow
@pytest.mark.parametrize("config", CASES)
def test_what_a_token_is_said_to_read_is_what_its_layer_read(config: ModelConfig) -> None:
    model = prepared(config)
    layers = encoder_attention(model.encoder, None)
    assert layers
    computed = {layer: Computed(layer) for layer in layers}
    reads, memory, _ = run(model, list(layers))
    level = 1 if len(memory.level_sizes) > 1 else 0
    for token in (Token(frame=2, level=0, row=1, column=1), Token(frame=1, level=level, row=0, column=1)):
        row = token.frame * sum(h * w for h, w in memory.level_sizes) + token.place(memory.level_sizes)
        for number, layer in enumerate(layers):
            looks = looks_of_token(layer, reads_of_pass(reads[layer], model.encoder, None), token, memory)
            heads: Any = torch.zeros(int(looks.head.max()) + 1).index_add(0, looks.head, looks.weight)
            torch.testing.assert_close(heads, torch.ones_like(heads))
            assert looks.level.min() >= 0
            assert looks.level.max() < len(memory.level_sizes)
            if isinstance(layer, Attention):
                continue
            source, turn, passes = computed[layer], 0, 1
            if isinstance(layer, IntraScaleBlock | InterScaleBlock):
                turn, passes = -1, len(source.read)
            elif not source.read:
                # Neighbours share values and output projection with the attention in the own frame.
                source, turn = computed[next(iter(layers))], number
            read = source.read[turn].reshape(-1, source.read[turn].shape[-1])[row]
            source_values = Computed.__new__(Computed)
            source_values.values = source.values[-(len(source.values) // passes) :]
            wanted = expected(layer, source_values, looks, token, memory)
            torch.testing.assert_close(read.double(), wanted.double(), rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("name", ["vistr", "tt_spn"])
def test_dense_attention_reads_as_the_formula_says(name: str) -> None:
    model = prepared(TINY[name])
    (layer,) = encoder_attention(model.encoder, 1)
    kept: list[Any] = []
    layer.register_forward_pre_hook(lambda module, inputs: kept.append(inputs))
    computed = Computed(layer)
    reads, memory, _ = run(model, [layer])
    assert isinstance(layer, Attention)
    _, _, tokens, is_padding = kept[0]
    width = tokens.shape[-1]
    value = F.linear(tokens, layer.in_proj_weight[2 * width :], layer.in_proj_bias[2 * width :])[0]
    assert is_padding.any()
    looks = looks_of_token(layer, reads[layer], Token(frame=1, level=0, row=1, column=2), memory)
    cells = memory.level_sizes[0][0] * memory.level_sizes[0][1]
    tables = {0: value.unflatten(0, (3, cells))}
    wanted = cells_by_hand(tables, looks, memory, layer.num_heads)
    read = computed.read[0][0, cells + memory.level_sizes[0][1] + 2]
    torch.testing.assert_close(read.double(), wanted, rtol=1e-4, atol=1e-5)
    assert looks.place.max() < 1.35
    hidden = looks.weight[is_padding[0].repeat(layer.num_heads)]
    assert hidden.numel()
    assert (hidden == 0).all()


@pytest.mark.parametrize("config", [pytest.param(TINY[name], id=name) for name in TINY])
def test_the_model_says_the_same_to_the_bit_while_it_is_looked_at(config: ModelConfig) -> None:
    model = prepared(config)
    with torch.no_grad():
        before = model(CLIP)
    layers = [*encoder_attention(model.encoder, None), *decoder_attention(model.decoder, None)]
    reads, _, seen = run(model, layers)
    assert all(reads.values())
    for one, other in zip(before.layers, seen.layers, strict=True):
        assert torch.equal(one.class_logits, other.class_logits)
        assert torch.equal(one.boxes, other.boxes)
    queries = torch.arange(3)
    assert torch.equal(model.masks(before, 0, queries), model.masks(seen, 0, queries))


@pytest.mark.parametrize(
    "config",
    [
        pytest.param(config, id=name)
        for name, config in (
            *TINY.items(),
            ("space_time", replaced(TINY["deformable_vistr"], "decoder_attention", "space_time")),
        )
    ],
)
def test_queries_of_an_object_are_taken_together(config: ModelConfig) -> None:
    model = prepared(config)
    (layer,) = decoder_attention(model.decoder, None)
    reads, memory, _ = run(model, [layer])
    (read,) = reads[layer]
    per_frame = config.queries.count
    rows = [t * per_frame + 2 for t in range(3)]
    together = looks_of_queries(layer, read, rows, memory)
    heads = torch.zeros(int(together.head.max()) + 1).index_add(0, together.head, together.weight)
    torch.testing.assert_close(heads, torch.ones_like(heads))
    for frame in range(3):
        alone = [looks_of_queries(layer, read, [row], memory) for row in rows]
        share = [one.weight[one.frame.round() == frame].sum() for one in alone]
        wanted = torch.stack(share).mean()
        torch.testing.assert_close(together.weight[together.frame.round() == frame].sum(), wanted)
        if together.cells is None and config.kind in ("seqformer", "ms_sts", "taformer"):
            assert set(alone[frame].frame.tolist()) == {float(frame)}


@pytest.mark.parametrize("config", CASES)
def test_layers_that_are_looked_at_are_told_apart(config: ModelConfig) -> None:
    with torch.device("meta"):
        model: Any = build_model(config)
    kinds = encoder_attention(model.encoder, None).values()
    assert kinds
    assert len(set(kinds)) == len(kinds)
    assert len(decoder_attention(model.decoder, None)) == 1


def test_nothing_is_kept_of_layers_that_nobody_looks_at() -> None:
    model = prepared(TINY["seqformer"])
    layer = next(iter(encoder_attention(model.encoder, 1)))
    other = next(iter(decoder_attention(model.decoder, 1)))
    reads, _, _ = run(model, [other])
    assert list(reads) == [other]
    assert reads[other]
    maps = Maps.own_frame(((1, 1),), num_frames=1)
    record_points(layer, torch.zeros(1, 1, 1, 1, 2), torch.ones(1, 1, 1, 1), maps)
    assert layer not in reads


def test_two_recordings_at_once_are_refused() -> None:
    with recording([]), pytest.raises(RuntimeError, match="under way"), recording([]):
        pass
    with recording([]):
        pass


def test_a_layer_that_there_is_not_is_refused() -> None:
    model = prepared(TINY["seqformer"])
    for number in (0, 2):
        with pytest.raises(UsageError, match=f"--layer {number}: the encoder has layers 1 to 1"):
            encoder_attention(model.encoder, number)
    with pytest.raises(UsageError, match="the decoder has layers 1 to 3"):
        decoder_attention(model.decoder, 4)
