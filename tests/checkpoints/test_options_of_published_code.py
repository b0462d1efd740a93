"""Weights made with options that the published code has beside those of its released checkpoints."""

import itertools
import json
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from torch import Tensor, nn

from maskreel.checkpoints.conversion import Conversion, convert_state, find_dialect
from maskreel.checkpoints.dialects.seqformer import to_seqformer
from maskreel.checkpoints.dialects.vistr import to_vistr
from maskreel.cli.main import main
from maskreel.models.deformable_vistr import DeformableVisTRConfig
from maskreel.models.folder import build_model
from maskreel.models.parts.backbones import ResNetConfig, TwinsConfig
from maskreel.models.parts.box_queries import BoxQueries, DeformableTransformer
from maskreel.models.parts.frame_queries import ClipTransformer, FrameQueries
from maskreel.models.seqformer import SeqFormerConfig
from maskreel.models.tt_spn import TTSPNConfig
from maskreel.models.vistr import VisTRConfig
from tests.builders import clip_batch

SEQFORMER = SeqFormerConfig(
    backbone=ResNetConfig(depth=50, width=8),
    transformer=DeformableTransformer(
        width=32, hidden=16, num_heads=4, num_points=2, encoder_layers=1, decoder_layers=2
    ),
    queries=BoxQueries(count=5),
)
VISTR = VisTRConfig(
    backbone=ResNetConfig(depth=50, width=8, padding="masked"),
    transformer=ClipTransformer(width=32, hidden=16, num_heads=4, encoder_layers=1, decoder_layers=2, norm="pre"),
    queries=FrameQueries(frames=3),
)


def converted(state: dict[str, Tensor]) -> Conversion:
    conversion = convert_state(state, find_dialect(state), heads=4)
    assert conversion.report.unexplained == ()
    return conversion


def written(model: nn.Module) -> dict[str, Tensor]:
    write = to_seqformer if model.__class__.__name__ == "SeqFormer" else to_vistr
    return {name: entry.values for name, entry in write(model).items()}


def assert_same_bits(conversion: Conversion, model: nn.Module) -> None:
    state = conversion.build().state_dict()
    assert state.keys() == model.state_dict().keys()
    assert all(torch.equal(state[name], values) for name, values in model.state_dict().items())


@pytest.mark.parametrize("decoder_points", [1, 3])
def test_encoder_and_decoder_of_a_seqformer_may_sample_different_numbers_of_points(decoder_points: int) -> None:
    config = replace(SEQFORMER, transformer=replace(SEQFORMER.transformer, decoder_points=decoder_points))
    model = build_model(config)
    state = written(model)
    assert (
        state["detr.transformer.decoder.layers.0.cross_attn.attention_weights.weight"].shape[0] == 16 * decoder_points
    )
    conversion = converted(state)
    assert conversion.config == config
    assert_same_bits(conversion, model)


def test_a_vistr_with_norms_in_front_of_its_layers_comes_back_bit_by_bit() -> None:
    model = build_model(VISTR)
    state = written(model)
    assert "vistr.transformer.encoder.norm.weight" in state
    conversion = converted(state)
    assert conversion.config == VISTR
    assert_same_bits(conversion, model)
    again = to_vistr(conversion.build(), conversion.unused)
    assert again.keys() == state.keys()
    assert all(torch.equal(again[name].values, values) for name, values in state.items())


@pytest.mark.parametrize("kind", [DeformableVisTRConfig, TTSPNConfig])
def test_its_relatives_write_the_norm_at_the_end_of_the_encoder_under_the_same_name(
    kind: type[DeformableVisTRConfig] | type[TTSPNConfig],
) -> None:
    with torch.device("meta"):
        model = build_model(kind(transformer=VISTR.transformer, queries=VISTR.queries))
        assert "vistr.transformer.encoder.norm.bias" in to_vistr(model)


def test_a_detr_with_norms_in_front_starts_a_vistr_of_the_same_kind() -> None:
    model = build_model(VISTR)
    video_only = ("vistr.query_embed", "vistr.class_embed", "vistr.transformer.reference_points")
    detr = {
        name.removeprefix("vistr."): values
        for name, values in written(model).items()
        if name.startswith("vistr.") and not name.startswith(video_only)
    } | {"query_embed.weight": torch.zeros(100, 32), "class_embed.weight": torch.zeros(92, 32)}
    detr["class_embed.bias"] = torch.zeros(92)
    conversion = converted(detr)
    assert conversion.report.source == "detr"
    assert conversion.config.transformer == VISTR.transformer
    assert torch.equal(conversion.taken["encoder.norm.weight"], model.state_dict()["encoder.norm.weight"])


# Refinement of boxes is told by names, whatever the values are.


def at_the_start(model: nn.Module) -> dict[str, Tensor]:
    """A checkpoint saved right after the published initialisation: box heads are copies of the first, whose last bias
    alone differs."""
    state = written(model)
    for name in state:
        for prefix in ("detr.bbox_embed.1.", "detr.transformer.decoder.bbox_embed.1."):
            if name.startswith(prefix):
                state[name] = state[name.replace(".1.", ".0.", 1)].clone()
                if name.endswith("layers.2.bias"):
                    state[name] = state[name] - torch.tensor([0.0, 0.0, 2.0, 2.0])
    return state


@pytest.mark.parametrize("stored", ["twice", "once, under the first name", "once, under the second name"])
def test_a_seqformer_saved_right_after_its_initialisation_refines_boxes(stored: str) -> None:
    state = at_the_start(build_model(SEQFORMER))
    assert torch.equal(state["detr.bbox_embed.0.layers.0.weight"], state["detr.bbox_embed.1.layers.0.weight"])
    dropped = {"twice": "-", "once, under the first name": "detr.transformer.decoder.bbox_embed."}
    prefix = dropped.get(stored, "detr.bbox_embed.")
    state = {name: values for name, values in state.items() if not name.startswith(prefix)}
    assert converted(state).config == SEQFORMER


def test_equal_values_in_all_box_heads_decide_nothing() -> None:
    state = at_the_start(build_model(SEQFORMER))
    for name in state:
        if "bbox_embed.1." in name:
            state[name] = state[name.replace("bbox_embed.1.", "bbox_embed.0.")]
    assert converted(state).config.queries.refinement == "iterative"


def test_a_seqformer_without_refinement_stands_under_every_layers_name_and_comes_back() -> None:
    config = replace(SEQFORMER, queries=BoxQueries(count=5, refinement="none"))
    model = build_model(config)
    state = written(model)
    names = [f"detr.{head}.{layer}.{rest}" for (head, rest), layer in itertools.product(HEADS, (0, 1))]
    assert state.keys() >= set(names)
    assert not [name for name in state if name.startswith("detr.transformer.decoder.bbox_embed.")]
    conversion = converted(state)
    assert conversion.config == config
    assert_same_bits(conversion, model)


HEADS = (("bbox_embed", "layers.2.bias"), ("class_embed", "weight"))


# Twins with other windows and reductions.

TWINS = TwinsConfig(
    widths=(32, 32, 64, 64),
    num_heads=(1, 1, 2, 2),
    depths=(2, 2, 2, 2),
    windows=(7, 7, 1, 7),
    reductions=(4, 4, 1, 1),
    edges="cut",
)


def twins_state(config: TwinsConfig = TWINS) -> dict[str, Tensor]:
    torch.manual_seed(0)
    small = ClipTransformer(width=16, hidden=8, encoder_layers=1, decoder_layers=1)
    model = build_model(TTSPNConfig(backbone=config, transformer=small))
    return {
        name.removeprefix("backbone."): values
        for name, values in model.state_dict().items()
        if name.startswith("backbone.")
    }


def test_reductions_and_stages_without_windows_show_in_the_shapes_of_a_twins() -> None:
    state = twins_state()
    conversion = converted(state)
    assert conversion.config.backbone == TWINS
    assert all(torch.equal(conversion.taken[f"backbone.{name}"], values) for name, values in state.items())


def test_windows_of_a_twins_are_named(tmp_path: Path) -> None:
    torch.save(twins_state(), tmp_path / "twins.pth")
    words = ["convert", str(tmp_path / "twins.pth"), str(tmp_path / "out"), "--windows", "14", "7", "1", "5"]
    assert main(words) == 0
    backbone = json.loads((tmp_path / "out" / "config.json").read_text())["model"]["backbone"]
    assert (backbone["windows"], backbone["edges"]) == ([14, 7, 1, 5], "cut")


def test_windows_that_a_checkpoint_cannot_have_are_refused(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    torch.save(twins_state(), tmp_path / "twins.pth")
    torch.save(written(build_model(SEQFORMER)), tmp_path / "seqformer.pth")
    out = str(tmp_path / "out")
    assert main(["convert", str(tmp_path / "twins.pth"), out, "--windows", "7", "7", "7", "7"]) == 2
    assert "1 stands for a stage without windows; it has (7, 7, 1, 7)" in capsys.readouterr().err
    assert main(["convert", str(tmp_path / "seqformer.pth"), out, "--heads", "4", "--windows", "7", "7", "7", "7"]) == 2
    assert "SeqFormer, official has none" in capsys.readouterr().err
    assert not (tmp_path / "out").exists()


def test_a_converted_twins_reads_frames_of_any_size() -> None:
    """With the maps of the published one, whose last rows and columns are left out."""
    conversion = converted(twins_state())
    small = ClipTransformer(width=16, hidden=8, encoder_layers=1, decoder_layers=1)
    config = replace(conversion.config, transformer=small, queries=FrameQueries(frames=2, count=2))
    model = build_model(config).eval()
    clip = clip_batch([(100, 151)], num_frames=2, padded=(100, 151))
    with torch.no_grad():
        features = model.frame_features(clip)
        assert [tuple(level.values.shape[-2:]) for level in features.maps] == [(25, 37), (12, 18), (6, 9), (3, 4)]
        prediction = model.clip(features)
        assert prediction.final.boxes.isfinite().all()
        assert model.masks(prediction, 0, torch.tensor([0])).shape[-2:] == (25, 37)
