"""What can be typed after recipes, models, convert and export-weights.

These modules import nothing heavy, so that help and mistyped options are answered at once.
"""

from dataclasses import dataclass
from pathlib import Path
from typing import Annotated

import tyro

from maskreel.cli.records.overwrite import Overwrite
from maskreel.runtimes.description import Format, GraphPrecision


@dataclass(frozen=True, kw_only=True)
class Recipes:
    """List the recipes: name, model, reported and measured AP, and what differs from the model's main row.

    The other metrics are those of the report, or of our own run where nothing was reported.
    """

    overwrite: Overwrite = False
    json: str | None = None
    """Also write the list as JSON here; without a path, JSON alone."""


@dataclass(frozen=True, kw_only=True)
class Models:
    """List the models by recipe with their sizes: trained parameters, all parameters, elements of the saved file.

    Beside them stands what was published of the recipe, in percent and millions of parameters.
    """

    published: bool = False
    """Compare with published counts instead: our models written out in the published layout, one row per count."""
    overwrite: Overwrite = False
    json: str | None = None
    """Also write the rows as JSON here; without a path, JSON alone."""


@dataclass(frozen=True, kw_only=True)
class Convert:
    """Turn weights of a published system into a model folder for predict, evaluate and train --init.

    Fails when a single tensor, of theirs or of ours, cannot be explained.
    """

    weights: Annotated[Path, tyro.conf.Positional, tyro.conf.arg(metavar="WEIGHTS")]
    """A .pth, .pkl or .safetensors file; nothing that stands in it is run."""
    out: Annotated[Path, tyro.conf.Positional, tyro.conf.arg(metavar="OUT")]
    """Model folder to write; must not exist yet, or be empty."""
    source: Annotated[str, tyro.conf.arg(name="from")] = "auto"
    """What the file is: seqformer, seqformer-detectron2, mssts, mssts-discriminator, vistr, deformable-detr, detr,
    resnet, swin, swin-timm or twins; auto recognises it by names and shapes."""
    key: str | None = None
    """Entry of the file that holds the weights, such as model_ema, where there are several."""
    to: str | None = None
    """Kind of the model to make, where the weights are a start for more than one."""
    heads: int | None = None
    """Attention heads, which no shape tells; default as published."""
    windows: tuple[int, int, int, int] | None = None
    """Sides of Twins' attention windows in cells, per stage, which no shape tells either; default 7 7 7 7."""
    classes: str | None = None
    """What the classes are called: ytvis19, ytvis21, or an annotation file; without it they have numbers."""
    report: Path | None = None
    """Write what became of every tensor as JSON here, also when the conversion fails."""
    overwrite: Overwrite = False
    json: str | None = None
    """Also write the summary as JSON here; without a path, JSON alone."""


@dataclass(frozen=True, kw_only=True)
class ExportWeights:
    """Write a SeqFormer or a VisTR as the original code loads it; what was converted comes back bit by bit."""

    run: Annotated[str, tyro.conf.Positional, tyro.conf.arg(metavar="RUN")]
    """Run folder, model folder, or the word bundled."""
    out: Annotated[Path, tyro.conf.Positional, tyro.conf.arg(metavar="OUT")]
    """File to write, .pth or .safetensors; must not exist yet."""
    overwrite: Overwrite = False
    json: str | None = None
    """Also write what was written as JSON here; without a path, JSON alone on stdout."""


@dataclass(frozen=True, kw_only=True)
class Export:
    """Write a model as graphs that run without PyTorch, or as torch.export programs, and prove that they agree.

    OUT is a model folder like any other: predict, evaluate, serve and bench model take it as RUN. Beyond the bounds
    (largest relative difference 1e-4 in float32, 2e-2 in float16; AP of rendered videos) nothing is left under OUT.
    """

    run: Annotated[str, tyro.conf.Positional, tyro.conf.arg(metavar="RUN")]
    """Run folder, model folder, the word bundled, or a recipe, whose weights are drawn at random."""
    out: Annotated[Path, tyro.conf.Positional, tyro.conf.arg(metavar="OUT")]
    """Model folder to write; must not exist yet, or be empty."""
    format: Format
    """What the graphs are for: ONNX Runtime, OpenVINO, or PyTorch alone."""
    size: tuple[int, int] | None = None
    """Height and width of frames, in pixels, that the graphs are checked with; default as the model was evaluated."""
    frames: int | None = None
    """Frames of a clip; default as the model was evaluated, else 36."""
    precision: GraphPrecision = "float32"
    """Numbers of the graphs: float32; float16, stored in 16 bits; int8, backbone and linear layers in 8 bits."""
    calibrate: Path | None = None
    """Videos from which int8 takes its ranges: a folder of a data set, or of videos or frames; default, for a model of
    the rendered classes, rendered videos."""
    overwrite: Overwrite = False
    json: str | None = None
    """Also write what was written and compared as JSON here; without a path, JSON alone."""
