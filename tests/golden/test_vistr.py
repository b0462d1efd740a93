"""The whole VisTR behind the backbone, against one recorded run of the official code."""

import pytest
import torch
from einops import rearrange, repeat
from torch import Tensor, nn

from maskreel.checkpoints.dialects.vistr import VISTR, vistr_name
from maskreel.criteria.sequence_matching import supervised_frames
from maskreel.models.parts.frame_queries import AttentionMaskHead, ClipTransformer, FrameQueries, SequenceLossConfig
from maskreel.models.vistr import VisTR, VisTRConfig, criterion
from maskreel.nn.heads.attention_masks import MapFusion
from maskreel.nn.heads.classify import FrameClassHead
from maskreel.nn.layers.position import shrink_padding, space_time_position
from maskreel.structures import ClipBatch, ClipPrediction, ClipTarget
from tests.builders import assert_golden, golden, golden_noise
from tests.golden.recorded_maps import RecordedMaps

pytestmark = pytest.mark.golden

CONFIG = VisTRConfig(
    num_classes=41,
    transformer=ClipTransformer(hidden=64, encoder_layers=1, decoder_layers=2, dropout=0.0, attention_dropout=0.0),
    queries=FrameQueries(frames=3),
    mask_head=AttentionMaskHead(area="padded"),
    loss=SequenceLossConfig(mask_resize="stretched", legacy_valid_index=True),
)
T, INSTANCES = 3, 10
LOSS_NAMES = {"label": "loss_ce", "box": "loss_bbox", "giou": "loss_giou", "mask": "loss_mask", "dice": "loss_dice"}


class Recorded:
    """The recorded run: our model with the recorded weights, and what it was fed."""

    def __init__(self) -> None:
        self.inputs = golden("vistr/inputs.safetensors")
        self.outputs = golden("vistr/outputs.safetensors")
        self.noise = golden_noise("vistr")
        self.weights = golden("vistr/weights.safetensors")
        self.model = VisTR(CONFIG)
        self.model.backbone = RecordedMaps.of(self.inputs, torch.float32)
        names = set(self.model.state_dict())
        self.model.load_state_dict({name: VISTR.read(name, self.weights, CONFIG) for name in names}, strict=True)
        self.model.eval()
        self.clip = ClipBatch(frames=torch.zeros(1, T, 3, 64, 96), is_padding=self.inputs["mask"][None])
        valid = rearrange(self.inputs["target.valid"], "(n t) -> n t", t=T).bool()
        labels = rearrange(self.inputs["target.labels"], "(n t) -> n t", t=T)
        self.target = ClipTarget(
            labels=labels.amax(1),
            boxes=rearrange(self.inputs["target.boxes"], "(n t) r -> n t r", t=T),
            masks=rearrange(self.inputs["target.masks"], "(n t) h w -> n t h w", t=T),
            is_visible=valid,
            track_id=torch.arange(len(labels)),
        )

    def check(self, name: str, ours: Tensor) -> None:
        assert_golden(ours.detach(), self.outputs[name], self.noise[name])


def rows(values: Tensor) -> Tensor:
    """Instances and frames as the official query rows: frame after frame."""
    return rearrange(values, "b q t ... -> b (t q) ...")


@pytest.fixture(scope="module")
def run() -> Recorded:
    return Recorded()


@pytest.fixture(scope="module")
def prediction(run: Recorded) -> ClipPrediction:
    with torch.no_grad():
        return run.model(run.clip)


def test_every_recorded_weight_is_used(run: Recorded) -> None:
    assert {vistr_name(name) for name in run.model.state_dict()} == set(run.weights)


def test_position_encoder_and_decoder_agree(run: Recorded) -> None:
    model, seen = run.model, {}
    hooks = [
        layer.register_forward_hook(lambda module, args, output, i=i: seen.__setitem__(f"dec.{i}", output))
        for i, layer in enumerate(model.decoder.layers)
    ]
    with torch.no_grad():
        coarse = model.project(model.backbone(run.clip)[-1])
        position = space_time_position(coarse.is_padding, 384)
        memory = model.encoder(coarse, position)
        states = model.decoder(memory, position)
    for hook in hooks:
        hook.remove()
    run.check("pos_stride32", position)
    run.check("input_proj", coarse.values[0])
    run.check("enc.0", rearrange(memory.tokens, "1 t s c -> (t s) 1 c"))
    run.check("memory", rearrange(memory.tokens, "1 t s c -> 1 c t s"))
    for name, state in seen.items():
        run.check(name, rearrange(state, "1 q c -> q 1 c"))
    run.check("hs", torch.stack([rearrange(state, "1 t q c -> 1 (t q) c") for state in states]))


def test_classes_and_boxes_agree(run: Recorded, prediction: ClipPrediction) -> None:
    first, last = prediction.layers
    for name, layer in (("aux.0.", first), ("", last)):
        run.check(f"{name}pred_logits", rows(layer.class_logits))
        run.check(f"{name}pred_boxes", rows(layer.boxes))
    assert first.masks is None


def test_attention_maps_mask_features_and_masks_agree(run: Recorded, prediction: ClipPrediction) -> None:
    source, head = prediction.final.masks, run.model.mask_head
    with torch.no_grad():
        *finer, memory = (level.values[0] for level in source.maps)
        attention = head.attend(source.states[0], memory, source.maps[-1].is_padding[0])
        context = head.fuse.context(memory, finer)
        offsets = []
        hook = head.fuse.offsets.register_forward_hook(lambda module, args, output: offsets.append(output))
        for t in range(T):
            run.check(f"bbox_attention.{t}", attention[t][None])
            features = head.fuse(attention[t], torch.full((INSTANCES,), t), context)
            run.check(f"mask_head_mean.{t}", features.mean((-2, -1)))
            if t == 0:
                run.check("mask_head.0", features)
        hook.remove()
        run.check("conv_offset.0", offsets[0])
        run.check("pred_masks", rows(source.select(0, torch.arange(INSTANCES))[None]))


def test_matching_and_losses_agree(run: Recorded, prediction: ClipPrediction) -> None:
    loss = criterion(CONFIG)
    is_real = torch.ones(1, T, dtype=torch.bool)
    matches = loss.match(prediction, [run.target], is_real)
    for name, (matched,) in zip(("match_aux.0", "match"), matches, strict=True):
        kept = supervised_frames(matched, run.target, legacy_valid_index=True)
        frame = torch.arange(T).expand_as(kept)
        assert (frame * INSTANCES + matched.query[:, None])[kept].tolist() == run.outputs[f"{name}.src"].tolist()
        assert (matched.target[:, None] * T + frame)[kept].tolist() == run.outputs[f"{name}.tgt"].tolist()
    num_rows = run.target.is_visible.numel()
    for suffix, layer, matched in zip(("_0", ""), prediction.layers, matches, strict=True):
        for name, value in loss.layer_losses(layer, matched, [run.target], is_real).items():
            run.check(f"loss.{LOSS_NAMES[name]}{suffix}", value if name == "label" else value / num_rows)
    run.check("loss_weighted_total", sum(loss(prediction, [run.target], run.clip).values()))


def test_gradients_agree(run: Recorded) -> None:
    run.model.zero_grad()
    losses = criterion(CONFIG)(run.model(run.clip), [run.target], run.clip)
    torch.stack(list(losses.values())).sum().backward()
    gradients = {vistr_name(name): parameter.grad for name, parameter in run.model.named_parameters()}
    recorded = [name for name in run.outputs if name.startswith(("grad.", "gradnorm."))]
    assert {name.partition(".")[2] for name in recorded} == set(gradients)
    for name in recorded:
        kind, _, parameter = name.partition(".")
        ours, expected = gradients[parameter], run.outputs[name]
        assert ours is not None
        if kind == "gradnorm" and expected < 1e-5:
            assert ours.norm() < 1e-5, parameter
        else:
            run.check(name, ours.norm() if kind == "gradnorm" else ours)


def load_part(module: nn.Module, name: str) -> None:
    """Recorded weights into the part that has this name in our model; those before it are not needed."""
    weights = golden("vistr/weights.safetensors")
    state = {key: weights[vistr_name(f"{name}.{key}")] for key in module.state_dict()}
    module.load_state_dict(state, strict=True)
    module.eval()


def test_positions_in_space_and_time_agree() -> None:
    is_padding = shrink_padding(golden("vistr/inputs.safetensors")["mask"][None], (2, 3))
    recorded = golden("vistr/outputs.safetensors")["pos_stride32"]
    assert_golden(
        space_time_position(is_padding, CONFIG.transformer.width), recorded, golden_noise("vistr")["pos_stride32"]
    )


def test_classes_per_frame_agree_in_both_layers() -> None:
    outputs, noise = golden("vistr/outputs.safetensors"), golden_noise("vistr")
    head = FrameClassHead(CONFIG.transformer.width, CONFIG.num_classes)
    load_part(head, "classify")
    for state, name in zip(outputs["hs"], ("aux.0.pred_logits", "pred_logits"), strict=True):
        with torch.no_grad():
            logits = head(rearrange(state, "1 (t q) c -> 1 t q c", t=T))
        assert_golden(rearrange(logits, "1 q t k -> 1 (t q) k"), outputs[name], noise[name])


def test_mask_features_agree_in_every_frame() -> None:
    inputs, outputs, noise = (
        golden("vistr/inputs.safetensors"),
        golden("vistr/outputs.safetensors"),
        golden_noise("vistr"),
    )
    fuse = MapFusion(CONFIG.transformer.width, 8, (256, 512, 1024), "relu")
    load_part(fuse, "mask_head.fuse")
    memory = rearrange(outputs["memory"], "1 c t (h w) -> t c h w", h=2)
    with torch.no_grad():
        context = fuse.context(memory, [inputs[f"feat.{level}"] for level in range(3)])
        for t in range(T):
            frame = repeat(torch.tensor([t]), "1 -> q", q=INSTANCES)
            features = fuse(outputs[f"bbox_attention.{t}"][0], frame, context)
            assert_golden(features.mean((-2, -1)), outputs[f"mask_head_mean.{t}"], noise[f"mask_head_mean.{t}"])
