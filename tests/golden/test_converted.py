"""Recorded whole models go through `maskreel convert` as files, and then agree with what was recorded."""

from dataclasses import replace
from pathlib import Path

import pytest
import torch
from einops import rearrange
from torch import Tensor, nn

from maskreel.cli.main import main
from maskreel.models.folder import LoadedModel, load_model
from maskreel.models.parts.frame_queries import AttentionMaskHead
from maskreel.models.seqformer import SeqFormer
from maskreel.models.vistr import VisTR
from maskreel.structures import ClipBatch, ClipPrediction
from tests.builders import assert_golden, golden, golden_noise
from tests.checkpoints.statedicts import made_up_tensor, state_list
from tests.golden import test_seqformer, test_vistr

pytestmark = [pytest.mark.golden, pytest.mark.slow]


def converted(folder: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> LoadedModel:
    """A recorded model as a model folder. Recordings begin behind the backbone, so that one is made up."""
    known = state_list("vistr_resnet50" if folder == "vistr" else "seqformer_resnet50").shapes
    state = dict(golden(f"{folder}/weights.safetensors"))
    state |= {name: made_up_tensor(name, shape).abs() for name, shape in known.items() if ".backbone.0.body." in name}
    torch.save({"model": state, "epoch": 1}, tmp_path / "weights.pth")
    assert main(["convert", str(tmp_path / "weights.pth"), str(tmp_path / "model")]) == 0
    assert "unexplained: none" in capsys.readouterr().out
    return load_model(tmp_path / "model")


def behind(backbone: nn.Module, model: nn.Module, loaded: LoadedModel) -> nn.Module:
    """A model with converted weights that reads recorded maps."""
    model.backbone = backbone
    state = loaded.model.state_dict()
    model.load_state_dict({name: state[name] for name in model.state_dict()}, strict=True)
    return model.eval()


@pytest.mark.parametrize(("folder", "size"), [("seqformer", (96, 160)), ("mssts", (64, 96))])
def test_seqformers_agree_after_conversion(
    folder: str, size: tuple[int, int], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    inputs, outputs = golden(f"{folder}/inputs.safetensors"), golden(f"{folder}/outputs.safetensors")
    noise = golden_noise(folder)
    loaded = converted(folder, tmp_path, capsys)
    maps = {0: torch.empty(6, 1, 1, 1)} | {4 << level: inputs[f"feat.{level}"] for level in (1, 2, 3)}
    model = behind(test_seqformer.RecordedMaps(maps), SeqFormer(loaded.config), loaded)
    padding = rearrange(inputs["mask"], "(b t) h w -> b t h w", t=3)
    with torch.no_grad():
        final: ClipPrediction = model(ClipBatch(frames=torch.zeros(2, 3, 3, *size), is_padding=padding)).final
        masks = torch.stack([final.masks.select(clip, torch.arange(20)) for clip in (0, 1)])
    check(final.class_logits[:, :, 0], outputs["pred_logits"][..., 1:41], noise["pred_logits"])
    check(rearrange(final.boxes, "b q t r -> b t q r"), outputs["pred_boxes_all"], noise["pred_boxes_all"])
    check(masks, outputs["pred_masks"], noise["pred_masks"])


def test_vistr_agrees_after_conversion(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    run = test_vistr.Recorded()
    loaded = converted("vistr", tmp_path, capsys)
    # The recording has padding inside, which the published mask head reads.
    model = behind(
        run.model.backbone, VisTR(replace(loaded.config, mask_head=AttentionMaskHead(area="padded"))), loaded
    )
    with torch.no_grad():
        final = model(run.clip).final
        masks = final.masks.select(0, torch.arange(10))
    check(test_vistr.rows(final.class_logits), run.outputs["pred_logits"][..., 1:], run.noise["pred_logits"])
    check(test_vistr.rows(final.boxes), run.outputs["pred_boxes"], run.noise["pred_boxes"])
    check(test_vistr.rows(masks[None]), run.outputs["pred_masks"], run.noise["pred_masks"])


def check(ours: Tensor, theirs: Tensor, noise: float) -> None:
    assert ours.shape == theirs.shape
    assert_golden(ours, theirs, noise)
