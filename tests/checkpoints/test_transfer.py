"""MS-STS VIS and TAFormer from SeqFormer's weights: what is taken, and that the function stays the same."""

from collections.abc import Callable
from dataclasses import replace
from typing import Any

import pytest
import torch
from torch import Tensor, nn

from maskreel.checkpoints.transfer import Transfer, start_from
from maskreel.models.folder import build_model, load_model
from maskreel.models.ms_sts import MSSTSConfig
from maskreel.models.parts.neighbours import DynamicAttention, Neighbours
from maskreel.models.parts.split_scale import SplitScale
from maskreel.models.seqformer import SeqFormerConfig
from maskreel.models.taformer import TAFormerConfig
from maskreel.nn.layers.temporal import TemporalAttention
from maskreel.recipes import ms_sts, taformer
from maskreel.structures import ClipPrediction
from tests.builders import clip_batch
from tests.checkpoints.tables import BOX_QUERIES_TINY, RESNET_TINY

SIZES = ((96, 160), (70, 130))
ALL_SPATIAL = Neighbours(fusion=DynamicAttention(spatial_bias=20.0))


@pytest.fixture(scope="module")
def small() -> nn.Module:
    """The SeqFormer that comes with the package."""
    return load_model("bundled").model


@pytest.fixture(scope="module")
def drawn() -> nn.Module:
    """A SeqFormer whose every parameter is drawn at random."""
    torch.manual_seed(0)
    model = build_model(SeqFormerConfig(backbone=RESNET_TINY, **BOX_QUERIES_TINY)).eval()
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.normal_(std=0.1)
    return model


def assert_same_outputs(ours: ClipPrediction, theirs: ClipPrediction) -> None:
    for a, b in zip(ours.layers, theirs.layers, strict=True):
        torch.testing.assert_close(a.class_logits, b.class_logits, rtol=0, atol=1e-5)
        torch.testing.assert_close(a.boxes, b.boxes, rtol=0, atol=1e-5)
        for clip in range(len(SIZES)):
            every = torch.arange(a.boxes.shape[1])
            masks, expected = (layer.masks.select(clip, every) for layer in (a, b))
            torch.testing.assert_close(masks, expected, rtol=1e-5, atol=1e-5)


def started(config: Any, source: nn.Module) -> tuple[nn.Module, Transfer]:
    torch.manual_seed(1)
    model = build_model(config)
    transfer = start_from(model, source.state_dict())
    return model.eval(), transfer


def test_ms_sts_begins_as_seqformer(small: nn.Module) -> None:
    model, transfer = started(replace(ms_sts.tiny().model, temporal_decoder=None), small)
    clip = clip_batch(SIZES, num_frames=3)
    with torch.no_grad():
        assert_same_outputs(model(clip), small(clip))
    assert transfer.unused == ()
    assert {name.split(".")[1] for name in transfer.new} == {"split"}


@pytest.mark.parametrize("split", [SplitScale(intra=None), SplitScale(inter=None), SplitScale(inter="cross")])
def test_every_form_of_split_attention_begins_as_seqformer(split: SplitScale, drawn: nn.Module) -> None:
    model, _ = started(MSSTSConfig(backbone=RESNET_TINY, split=split, temporal_decoder=None, **BOX_QUERIES_TINY), drawn)
    clip = clip_batch(SIZES, num_frames=3)
    with torch.no_grad():
        assert_same_outputs(model(clip), drawn(clip))


def test_taformer_begins_as_seqformer(small: nn.Module) -> None:
    """Without a code of time, and with all trust in the spatial feature."""
    config = replace(taformer.tiny().model, temporal_decoder=None, code="none", neighbours=ALL_SPATIAL)
    model, transfer = started(config, small)
    clip = clip_batch(SIZES, num_frames=3)
    with torch.no_grad():
        assert_same_outputs(model(clip), small(clip))
    assert transfer.unused == ()
    assert {part for name in transfer.new for part in name.split(".") if part in ("neighbours", "fusion", "embed")} == {
        "neighbours",
        "fusion",
        "embed",
    }


class PassThrough(TemporalAttention):
    """Stands where the temporal attention stands, and hands the box queries on."""

    def forward(self, box_queries: Tensor, position: Tensor) -> Tensor:
        return box_queries


@pytest.mark.parametrize(
    ("recipe", "changes"),
    [(ms_sts.tiny, {}), (taformer.tiny, {"code": "none", "neighbours": ALL_SPATIAL})],
    ids=["ms_sts", "taformer"],
)
def test_with_the_temporal_decoder_only_its_attention_and_norm_differ(
    recipe: Callable[[], Any], changes: dict[str, Any], small: nn.Module
) -> None:
    config = replace(recipe().model, **changes)
    model, transfer = started(config, small)
    added = {name for name in transfer.new if name.startswith("decoder.")}
    assert added == {
        f"decoder.temporal.0.frames.{part}"
        for part in (
            "attention.in_proj_weight",
            "attention.in_proj_bias",
            "attention.out_proj.weight",
            "attention.out_proj.bias",
            "norm.weight",
            "norm.bias",
        )
    }
    clip = clip_batch(SIZES, num_frames=3)
    with torch.no_grad():
        assert not torch.allclose(model(clip).final.boxes, small(clip).final.boxes, atol=1e-3)
        place = config.temporal_decoder.place
        model.decoder.temporal[0] = PassThrough(
            config.transformer.width, place=place, num_heads=config.transformer.num_heads
        )
        assert_same_outputs(model(clip), small(clip))


def test_rows_of_the_sampled_levels_are_taken(drawn: nn.Module) -> None:
    """A model that samples stride 32 alone, loaded with weights of four levels, reads what those read there."""
    config = TAFormerConfig(
        backbone=RESNET_TINY,
        spatial_levels=(2,),
        neighbours=Neighbours(num_points=2, temporal_levels=(2,), fusion=DynamicAttention()),
        encoded_levels="sampled",
        **BOX_QUERIES_TINY,
    )
    model, transfer = started(config, drawn)
    theirs = drawn.state_dict()
    for part, columns in (("sampling_offsets", 2), ("attention_weights", 1)):
        for place in ("encoder.layers.0.attention", "decoder.layers.1.cross_attention"):
            ours = model.state_dict()[f"{place}.{part}.weight"]
            rows = theirs[f"{place}.{part}.weight"].view(4, 4, 2 * columns, -1)[:, 2]
            assert torch.equal(ours.view(4, 2 * columns, -1), rows)
    assert torch.equal(model.encoder.level_embedding[0], theirs["encoder.level_embedding"][2])
    assert not any("attention_weights" in name for name in transfer.new if "neighbours" not in name)
    assert {name.split(".")[2] for name in transfer.unused if name.startswith("pyramid.")} == {"3"}


def test_heads_for_other_classes_stay_new(drawn: nn.Module) -> None:
    config = MSSTSConfig(backbone=RESNET_TINY, **{**BOX_QUERIES_TINY, "num_classes": 5})
    _, transfer = started(config, drawn)
    assert {name for name in transfer.new if name.startswith("classify.")} == {
        f"classify.{layer}.{kind}" for layer in (0, 1) for kind in ("weight", "bias")
    }
