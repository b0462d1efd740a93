"""The whole SeqFormer behind the backbone, against one recorded run of the official code."""

from collections.abc import Callable
from dataclasses import replace

import pytest
import torch
from einops import rearrange
from torch import Tensor, nn

from maskreel.checkpoints.dialects.seqformer import QUERIES, SEQFORMER, published_name
from maskreel.criteria.matching import match
from maskreel.criteria.set_loss import stride4_masks
from maskreel.models.parts.box_queries import BoxQueries, DeformableTransformer, DynamicMaskHead
from maskreel.models.seqformer import SeqFormer, SeqFormerConfig, criterion
from maskreel.nn.layers.position import sine_position
from maskreel.structures import ClipBatch, ClipPrediction, ClipTarget, FeatureMap
from tests.builders import assert_golden, golden, golden_noise

pytestmark = [pytest.mark.golden, pytest.mark.usefixtures("each_backend")]

CONFIG = SeqFormerConfig(
    num_classes=42,
    transformer=DeformableTransformer(width=64, hidden=64, encoder_layers=2, decoder_layers=2),
    queries=BoxQueries(count=20),
    mask_head=DynamicMaskHead(channels=2),
)
STEPS = (
    *(f"pos.{level}" for level in (1, 2, 3, 4)),
    *(f"input_proj.{level}" for level in range(4)),
    *("valid_ratios", "enc.0", "memory", "init_reference", "inter_references"),
    *(f"dec.{layer}.{kind}" for layer in (0, 1) for kind in ("out", "out_box")),
    *(f"mask_feat.{frame}" for frame in range(3)),
    *(f"controller.{layer}" for layer in (0, 1)),
)
LOSS_NAMES = {"label": "loss_ce", "box": "loss_bbox", "giou": "loss_giou", "mask": "loss_mask", "dice": "loss_dice"}


class RecordedMaps(nn.Module):
    """Stands for the backbone: its maps are part of the recording."""

    channels = (256, 512, 1024, 2048)

    def __init__(self, maps: dict[int, Tensor]) -> None:
        super().__init__()
        self.maps = maps

    def forward(self, clip: ClipBatch) -> tuple[FeatureMap, ...]:
        b, t = clip.frames.shape[:2]
        return tuple(
            FeatureMap(
                values=rearrange(values, "(b t) c h w -> b t c h w", b=b, t=t),
                is_padding=torch.zeros(b, t, *values.shape[-2:], dtype=torch.bool),
                stride=stride,
            )
            for stride, values in self.maps.items()
        )


class Recorded:
    """The recorded run: our model with the recorded weights, and what it was fed."""

    def __init__(self, dtype: torch.dtype = torch.float32) -> None:
        self.inputs = golden("seqformer/inputs.safetensors")
        self.outputs = golden("seqformer/outputs.safetensors")
        self.noise = golden_noise("seqformer")
        self.weights = golden("seqformer/weights.safetensors")
        self.model = self.build(CONFIG, self.weights, clips=2).to(dtype)
        self.clip = self.batch(2)
        self.targets = [
            ClipTarget(
                labels=self.inputs[f"target.{i}.labels"],
                boxes=rearrange(self.inputs[f"target.{i}.boxes"], "(n t) r -> n t r", t=3),
                masks=rearrange(self.inputs[f"target.{i}.masks"], "(n t) h w -> n t h w", t=3),
                is_visible=rearrange(self.inputs[f"target.{i}.masks"], "(n t) h w -> n t (h w)", t=3).any(-1),
                track_id=torch.arange(len(self.inputs[f"target.{i}.labels"])),
            )
            for i in (0, 1)
        ]

    def build(self, config: SeqFormerConfig, weights: dict[str, Tensor], *, clips: int) -> SeqFormer:
        model = SeqFormer(config)
        maps = {8: "feat.1", 16: "feat.2", 32: "feat.3"}
        model.backbone = RecordedMaps(
            {0: torch.empty(3 * clips, 1, 1, 1)} | {s: self.inputs[k][: 3 * clips] for s, k in maps.items()}
        )
        names = set(model.state_dict())
        model.load_state_dict({name: SEQFORMER.read(name, weights, config) for name in names}, strict=True)
        return model.eval()

    def batch(self, clips: int) -> ClipBatch:
        padding = rearrange(self.inputs["mask"], "(b t) h w -> b t h w", t=3)[:clips]
        return ClipBatch(frames=torch.zeros(clips, 3, 3, 96, 160), is_padding=padding)

    def check(self, name: str, ours: Tensor) -> None:
        assert_golden(ours, self.outputs[name], self.noise[name])


@pytest.fixture(scope="module")
def run() -> Recorded:
    return Recorded()


@pytest.fixture(scope="module")
def prediction(run: Recorded) -> ClipPrediction:
    with torch.no_grad():
        return run.model(run.clip)


def test_every_recorded_weight_is_used(run: Recorded) -> None:
    used = {published_name(name) for name in run.model.state_dict() if "query_" not in name} | {QUERIES}
    unexplained = {
        name
        for name in set(run.weights) - used
        if not name.startswith("detr.transformer.decoder.bbox_embed.")
        and "encoder" not in name.split("output_proj_box")[0]
    }
    assert unexplained == set()


@pytest.fixture(scope="module")
def steps(run: Recorded) -> dict[str, Tensor]:
    """What flows between the parts, under the recording's names."""
    model = run.model
    seen: dict[str, Tensor] = {}

    def remember(name: str, pick: Callable[..., Tensor]) -> Callable[..., None]:
        return lambda module, args, output: seen.__setitem__(name, pick(output))

    hooks = [
        layer.register_forward_hook(remember(f"input_proj.{i}", lambda out: out))
        for i, layer in enumerate(model.pyramid.levels)
    ]
    hooks += [model.encoder.layers[0].register_forward_hook(remember("enc.0", lambda out: out.tokens))]
    for i, layer in enumerate(model.decoder.layers):
        hooks.append(layer.register_forward_hook(remember(f"dec.{i}.out", lambda out: out[0])))
        hooks.append(layer.register_forward_hook(remember(f"dec.{i}.out_box", lambda out: out[1])))
    with torch.no_grad():
        pyramid = model.pyramid(model.backbone(run.clip)[1:], run.clip)
        memory = model.encoder(pyramid)
        states = model.decoder(memory)
        seen["memory"] = memory.tokens
        seen["valid_ratios"] = memory.valid_ratios
        seen["init_reference"] = states[0].reference
        seen["inter_references"] = torch.stack([state.boxes for state in states])
        for i, level in enumerate(pyramid):
            seen[f"pos.{i + 1}"] = sine_position(level.is_padding, 64)[:, 0]
        features = model.mask_head.branch(memory)
        for t in range(3):
            seen[f"mask_feat.{t}"] = features[:, t]
        for i, state in enumerate(states):
            seen[f"controller.{i}"] = model.mask_head.controller(state.instance)
    for hook in hooks:
        hook.remove()
    return seen


@pytest.mark.parametrize("name", STEPS)
def test_positions_pyramid_encoder_and_decoder_agree(run: Recorded, steps: dict[str, Tensor], name: str) -> None:
    assert set(steps) == set(STEPS)
    run.check(name, steps[name])


def test_classes_boxes_and_masks_agree(run: Recorded, prediction: ClipPrediction) -> None:
    first, last = prediction.layers
    run.check("aux.0.pred_logits", first.class_logits[:, :, 0])
    run.check("aux.0.pred_boxes", rearrange(first.boxes, "b q t r -> b t q r"))
    run.check("pred_logits", last.class_logits[:, :, 0])
    run.check("pred_boxes_all", rearrange(last.boxes, "b q t r -> b t q r"))
    run.check("pred_boxes_frame0", last.boxes[:, :, 0])
    masks = [prediction.final.masks.select(clip, torch.arange(20)) for clip in (0, 1)]
    run.check("pred_masks", torch.stack(masks))


def test_matching_and_losses_agree(run: Recorded, prediction: ClipPrediction) -> None:
    loss = criterion(CONFIG)
    counts = [loss.counted_frames(target) for target in run.targets]
    matches = match(prediction, run.targets, CONFIG.loss.costs, counts)
    masks = [stride4_masks(target, (96, 160)) for target in run.targets]
    for layer, (matched, predicted) in enumerate(zip(matches, prediction.layers, strict=True)):
        for clip, m in enumerate(matched):
            assert m.query.tolist() == run.outputs[f"match.{layer}.{clip}.src"].tolist()
            assert m.target.tolist() == run.outputs[f"match.{layer}.{clip}.tgt"].tolist()
        ours = loss.layer_losses(predicted, matched, run.targets, masks, counts)
        for name, value in ours.items():
            run.check(f"loss.{LOSS_NAMES[name]}" + ("_0" if layer == 0 else ""), value / 5)
    for clip, m in enumerate(matches[-1]):
        run.check(f"train_masks.{clip}", prediction.final.masks.select(clip, m.query)[None])
    total = sum(loss(prediction, run.targets, run.clip).values())
    run.check("loss_weighted_total", total)


def test_gradients_agree(run: Recorded) -> None:
    run.model.zero_grad()
    losses = criterion(CONFIG)(run.model(run.clip), run.targets, run.clip)
    torch.stack(list(losses.values())).sum().backward()
    gradients = {name: p.grad for name, p in run.model.named_parameters()}
    published = {published_name(name): grad for name, grad in gradients.items() if "query_" not in name}
    published[QUERIES] = torch.cat(
        (gradients["decoder.query_position.weight"], gradients["decoder.query_content.weight"]), 1
    )
    checked = 0
    for name in run.outputs:
        kind, _, parameter = name.partition(".")
        if kind not in ("grad", "gradnorm"):
            continue
        parameter = parameter.replace("detr.transformer.decoder.bbox_embed.", "detr.bbox_embed.")
        if "encoder" in parameter and "output_proj_box" in parameter:
            assert run.outputs[name] == 0
            continue
        ours = published[parameter]
        expected = run.outputs[name]
        if kind == "gradnorm" and expected < 1e-5:
            assert ours.norm() < 1e-5, parameter
            continue
        run.check(name, ours.norm() if kind == "gradnorm" else ours)
        checked += 1
    assert checked > 150


def test_a_table_of_300_queries_agrees(run: Recorded) -> None:
    config = replace(CONFIG, queries=BoxQueries())
    model = run.build(config, run.weights | {QUERIES: run.inputs["inf.query_embed"]}, clips=1)
    clip = ClipBatch(frames=torch.zeros(1, 3, 3, 96, 160), is_padding=torch.zeros(1, 3, 96, 160, dtype=torch.bool))
    with torch.no_grad():
        final = model(clip).final
        masks = final.masks.select(0, torch.arange(300))
    run.check("inf.pred_logits", final.class_logits[:, :, 0])
    run.check("inf.pred_boxes", rearrange(final.boxes, "b q t r -> b t q r"))
    run.check("inf.pred_masks_every20th", masks[::20])
    run.check("inf.pred_masks_mean", masks.flatten(1).mean(1))
