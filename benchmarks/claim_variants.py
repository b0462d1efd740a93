"""What is trained to test the claims of the papers, and which claims compare what (`claims.py`)."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Literal

Set = Literal["rendered-crossing", "rendered-deform", "rendered-hard", "rendered-motion"]
MIXTURE: tuple[Set, ...] = ("rendered-crossing", "rendered-deform", "rendered-hard")
"""Trained on together; a model is then measured on each of them."""
MOTION: tuple[Set, ...] = ("rendered-motion",)
"""Has classes of its own and is trained on alone."""
SEEDS = (0, 1, 2)
STEPS = 400
SINGLE_FRAMES = {
    "data.num_frames": 1,
    "data.batch_size": 16,
    "training.steps": 1500,
    "training.learning_rate": 1e-3,
    "training.schedule": "step",
    "training.warmup": 200,
    "training.validate_every": 0,
}
FRAME_QUERIES = {
    "model.queries.frames": 1,
    "evaluation.predictor.clip_frames": 1,
    "evaluation.predictor.clip_overlap": 0,
}

Options = Mapping[str, object]


@dataclass(frozen=True, kw_only=True)
class Start:
    """A pre-training on single frames that all variants of a family begin with."""

    name: str
    recipe: str
    options: Options


@dataclass(frozen=True, kw_only=True)
class Variant:
    """A small recipe with options changed, as `maskreel.train` takes them; from a start, `longer` times `STEPS`."""

    name: str
    recipe: str
    start: str
    options: Options
    sets: tuple[Set, ...] = MIXTURE
    longer: int = 1


STARTS = {
    start.name: start
    for start in (
        Start(name="seqformer", recipe="seqformer-tiny", options=SINGLE_FRAMES),
        Start(name="vistr", recipe="vistr-tiny", options=SINGLE_FRAMES | FRAME_QUERIES | {"first.steps": 0}),
        Start(
            name="tt-spn",
            recipe="tt-spn-tiny-mlp",
            options=SINGLE_FRAMES | FRAME_QUERIES | {"first.steps": 0, "training.cells": 2.0},
        ),
    )
}


def _variants() -> Iterator[Variant]:
    def ms_sts(name: str, **options: object) -> Variant:
        named = {key.replace("__", "."): value for key, value in options.items()}
        return Variant(name=f"ms-sts-{name}", recipe="ms-sts-tiny", start="seqformer", options=named)

    alone = {"model__temporal_decoder": None, "model__adversary": None}
    for row in ("baseline", "attention_after", "attention_before", "encoder_after", "encoder_before", "split"):
        yield ms_sts(row.replace("_", "-"), model__encoder_variant=row, **alone)
    yield ms_sts("decoder", model__encoder_variant="baseline", model__adversary=None)
    yield ms_sts("adversary", model__encoder_variant="baseline", model__temporal_decoder=None)
    yield ms_sts("without-adversary", model__adversary=None)
    yield ms_sts("full")
    yield ms_sts("intra-only", model__split__inter=None, **alone)
    yield ms_sts("inter-only", model__split__intra=None, **alone)
    for frames in (2, 3, 5):
        yield ms_sts(f"full-t{frames}", data__num_frames=frames)
        yield ms_sts(f"baseline-t{frames}", model__encoder_variant="baseline", data__num_frames=frames, **alone)

    def taformer(name: str, **options: object) -> Variant:
        named = {key.replace("__", "."): value for key, value in options.items()}
        return Variant(name=f"taformer-{name}", recipe="taformer-tiny", start="seqformer", options=named)

    alone = {"model__temporal_decoder": None, "model__contrast": None}
    yield taformer("baseline", model__neighbours=None, model__code="none", **alone)
    yield taformer("encoder", **alone)
    yield taformer("encoder-decoder", model__contrast=None)
    yield taformer("full")
    yield taformer("contrast-last", model__contrast__layers="last")
    for fusion in ("add", "concat"):
        yield taformer(f"fusion-{fusion}", model__neighbours__fusion=fusion, **alone)
    yield taformer(
        "baseline-one-level", model__neighbours=None, model__code="none", model__spatial_levels=(2,), **alone
    )
    yield taformer("encoder-one-level", model__spatial_levels=(2,), model__neighbours__temporal_levels=(2,), **alone)
    for points in (1, 2, 3):
        yield taformer(f"points{points}", model__neighbours__num_points=points)
    yield taformer("raw-time", model__code="raw")

    one_stage = {"first.steps": 0}
    yield Variant(name="vistr", recipe="vistr-tiny", start="vistr", options=one_stage)
    yield Variant(name="vistr-ten-times", recipe="vistr-tiny", start="vistr", options=one_stage, longer=10)
    for points in (16, 32):
        options = one_stage | {"model.num_points": points}
        yield Variant(
            name=f"deformable-vistr-k{points}", recipe="deformable-vistr-tiny", start="vistr", options=options
        )
    for head in ("sine", "mlp"):
        recipe = "tt-spn-tiny" if head == "sine" else "tt-spn-tiny-mlp"
        yield Variant(name=f"tt-spn-{head}", recipe=recipe, start="tt-spn", options=one_stage)

    for frames in (1, 2, 4, 6):
        options = {"data.num_frames": frames}
        yield Variant(name=f"seqformer-t{frames}", recipe="seqformer-tiny", start="seqformer", options=options)

    for system, start in SYSTEMS.items():
        options = one_stage if start in ("vistr", "tt-spn") else {}
        yield Variant(name=f"motion-{system}", recipe=f"{system}-tiny", start=start, options=options, sets=MOTION)
    timed = {"model.temporal_decoder.code": "normalised", "model.split.code": "normalised"}
    yield Variant(name="motion-ms-sts-timed", recipe="ms-sts-tiny", start="seqformer", options=timed, sets=MOTION)
    single = {"evaluation.predictor.clip_frames": 1, "evaluation.predictor.clip_overlap": 0, "data.num_frames": 1}
    yield Variant(name="motion-one-frame", recipe="seqformer-tiny", start="seqformer", options=single, sets=MOTION)


SYSTEMS = {
    "seqformer": "seqformer",
    "ms-sts": "seqformer",
    "taformer": "seqformer",
    "vistr": "vistr",
    "deformable-vistr": "vistr",
    "tt-spn": "tt-spn",
}
"""Every system and the start of its family."""
VARIANTS = {variant.name: variant for variant in _variants()}


@dataclass(frozen=True, kw_only=True)
class Comparison:
    """A claim that one variant is better than another, with the set it is about, both said before the first run."""

    name: str
    claim: str
    better: str
    worse: str
    sets: tuple[Set, ...]
    metrics: tuple[str, ...] = ("AP", "AP75", "AssA")
    margin: float = 0.0
    """Points that are added to the better side: "within one AP" is a margin of 1."""


CROSSING: tuple[Set, ...] = ("rendered-crossing", "rendered-hard")
DEFORM: tuple[Set, ...] = ("rendered-deform",)


def _comparisons() -> Iterator[Comparison]:
    def better(
        name: str, claim: str, one: str, other: str, sets: tuple[Set, ...] = CROSSING, margin: float = 0.0
    ) -> Comparison:
        return Comparison(name=name, claim=claim, better=one, worse=other, sets=sets, margin=margin)

    for row in ("attention-after", "attention-before", "encoder-after", "encoder-before", "split"):
        name = row.replace("-", " ")
        yield better(f"S1.{row}", f"{name}: better than the baseline", f"ms-sts-{row}", "ms-sts-baseline")
    for row in ("attention-after", "attention-before", "encoder-after", "encoder-before"):
        name = row.replace("-", " ")
        yield better(f"S1.split-over-{row}", f"split: better than {name}", "ms-sts-split", f"ms-sts-{row}")
    yield better("S1.decoder", "attention of box queries over frames helps alone", "ms-sts-decoder", "ms-sts-baseline")
    yield better("S1.adversary", "the foreground-background loss helps alone", "ms-sts-adversary", "ms-sts-baseline")
    yield better("S1.adversary-last", "and on top of the others", "ms-sts-full", "ms-sts-without-adversary")
    yield better("S1.full", "all parts: better than the split encoder alone", "ms-sts-full", "ms-sts-split")
    yield better("S1.deform", "MS-STS is robust to change of shape", "ms-sts-full", "ms-sts-baseline", DEFORM)
    yield better("S1.inter", "between scales over within a scale", "ms-sts-inter-only", "ms-sts-intra-only")
    for frames in (2, 3, 5):
        yield better(
            f"S1.t{frames}", f"MS-STS gains at T = {frames}", f"ms-sts-full-t{frames}", f"ms-sts-baseline-t{frames}"
        )
    yield better("S2.encoder", "joint attention of the encoder helps", "taformer-encoder", "taformer-baseline")
    yield better("S2.decoder", "temporal self-attention helps further", "taformer-encoder-decoder", "taformer-encoder")
    yield better("S2.contrast", "the contrastive loss helps further", "taformer-full", "taformer-encoder-decoder")
    yield better("S2.contrast-all", "on all layers over the last alone", "taformer-full", "taformer-contrast-last")
    yield better("S2.concat", "concatenation over sum", "taformer-fusion-concat", "taformer-fusion-add")
    yield better("S2.dynamic", "dynamic fusion over concatenation", "taformer-encoder", "taformer-fusion-concat")
    yield better("S2.levels", "four levels over one", "taformer-encoder", "taformer-encoder-one-level")
    yield better("S2.one-level", "joint on one level", "taformer-encoder-one-level", "taformer-baseline-one-level")
    for less, more in (("points1", "points2"), ("points2", "points3"), ("points3", "full")):
        yield better(f"S2.{less}", "one more point per neighbour", f"taformer-{more}", f"taformer-{less}")
    yield better("S2.raw", "time as a fraction over the index", "taformer-full", "taformer-raw-time")
    yield better(
        "S3.tenth",
        "Deformable VisTR within one AP of VisTR after a tenth of the steps",
        "deformable-vistr-k32",
        "vistr-ten-times",
        margin=1.0,
    )
    yield better("S3.points", "32 points over 16", "deformable-vistr-k32", "deformable-vistr-k16")
    yield better("S4.sine", "sine over MLP heads", "tt-spn-sine", "tt-spn-mlp")
    yield better("SeqFormer.frames", "four frames over one in training", "seqformer-t4", "seqformer-t1")
    for system in SYSTEMS:
        yield better(
            f"motion.{system}", f"{system} tells classes by motion", f"motion-{system}", "motion-one-frame", MOTION
        )
    yield better("motion.time-code", "a time code helps MS-STS there", "motion-ms-sts-timed", "motion-ms-sts", MOTION)


COMPARISONS = tuple(_comparisons())
