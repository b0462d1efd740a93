"""What can be typed after demo, predict and evaluate.

These modules import nothing heavy, so that help and mistyped options are answered at once.
"""

from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Literal

import tyro

from maskreel.cli.records.overwrite import Overwrite
from maskreel.cli.records.rate import Rate
from maskreel.left_out import OnBad
from maskreel.runtimes.precision import PrecisionChoice
from maskreel.visualize.takeaways.kinds import described

SAVE_HELP = f"Write more beside <stem>.json, comma-separated: {described()}."


@dataclass(frozen=True, kw_only=True)
class Predict:
    """Find, cut out and follow every object in videos; writes <stem>.json and <stem>_overlay.mp4 for each.

    Ctrl-C ends the reading and finishes the files.
    """

    run: Annotated[str, tyro.conf.Positional, tyro.conf.arg(metavar="RUN")]
    """Run folder, model folder, or the word bundled (the weights that come with the package)."""
    sources: Annotated[tuple[str, ...], tyro.conf.Positional, tyro.conf.arg(metavar="SOURCE")]
    """Video files, folders of frames, patterns in quotes, addresses (http, rtsp, tcp ...), cameras (0, /dev/video0), -
    for the standard input; with --split one folder of a YouTube-VIS data set."""
    list: Path | None = None
    """Text file with further sources, one in each line; lines that begin with # are left out."""
    workers: int | None = None
    """Processes that share the sources, each with the model; default none but this one. A source that ends two of them
    is set aside."""
    ray: bool = False
    """Have actors of a Ray cluster share the sources (extra ray), --workers of them, else one per processor; without an
    address the cluster is this machine. Files must have the same places on all machines, or lie in a store."""
    ray_address: str | None = None
    """The cluster, as HOST:PORT, ray://HOST:PORT or auto."""
    gpus_per_worker: float | None = None
    """CUDA devices of each actor, such as 1 or 0.5; default none."""
    resume: bool = False
    """Go on in --out where an earlier command was ended: what manifest.jsonl lists is checked and kept, the rest
    done."""
    out: str | None = None
    """Folder for the results, here or in a store (s3://BUCKET/FOLDER ...); default runs/predict/NAME after the first
    source, then NAME-2 and so on."""
    split: str | None = None
    """Split of the data set that SOURCE names; also writes results.json."""
    min_score: float | None = None
    """Leave out objects below this score; default as the model was evaluated, else 0.3, and 0 for results.json."""
    max_objects: int | None = None
    """Objects followed per clip, the best first; default 100. results.json holds the pairs of the published rule."""
    duplicates: Literal["merge", "keep"] | None = None
    """Two tracks of one class whose masks agree in more than 0.8 of their common frames' pixels are one object, or
    two; default merge, but keep for results.json."""
    latency: int | None = None
    """Frames after which a frame is final, 0 for at once; windows of --window frames are then searched every so many
    frames. Default 1 for cameras and streams; others wait for whole clips of --clip-frames."""
    window: int | None = None
    """Frames of a window where there is a latency; default as many as the model was trained on."""
    memory: int | None = None
    """Frames for which an object that left is remembered, to get its id back when it returns; 0 for none. Default as
    measured best where there is a latency, else 0."""
    every: int = 1
    """Look at every so many frames only."""
    start: float | None = None
    """Seconds of the source's own time at which to begin."""
    end: float | None = None
    """Seconds of the source's own time at which to end."""
    duration: float | None = None
    """Seconds after the first frame at which to end."""
    max_frames: int | None = None
    """End after so many frames."""
    drop: Literal["auto", "busy", "never"] = "auto"
    """Frames that come while the network is busy: all but the newest are dropped, and listed (busy), or each is waited
    for (never); auto drops those of cameras and streams, not those of files, http and pipes."""
    clip_frames: int | None = None
    """Frames per clip, longer videos are cut into windows; default as the model was evaluated, else 36."""
    clip_overlap: int | None = None
    """Frames that neighbouring windows share; default as the model was evaluated, else 6."""
    short_side: int | None = None
    """Shortest side in pixels that the network is shown; default as the model was evaluated, else 360."""
    short_clips: Literal["pad", "repeat"] | None = None
    """Clips shorter than --clip-frames: shown as they are, or repeated over and over as published for VisTR; default
    as the model was evaluated, else pad."""
    frame_rate: Rate = 10.0
    """Frames per second of folders and patterns of pictures, which know no time."""
    precision: PrecisionChoice | None = None
    """Number format of the network, float32, bf16 (faster where the processor has it), or auto: bf16 on processors with
    AMX and GPUs that have it, else float32; what it chose is said and stands in the JSON. Default as recorded, else
    float32."""
    device: str = "auto"
    """cpu, cuda, cuda:1 ..., or auto: CUDA where there is one."""
    overlay: bool = True
    """Write a video with the objects drawn in; captions say what is known when a frame is final."""
    jsonl: bool = False
    """Also write <stem>.jsonl, one line per frame as soon as it is final."""
    show: bool = False
    """Not there: no window is opened; says what to do instead."""
    save: Annotated[str, tyro.conf.arg(help=SAVE_HELP)] = ""
    report: bool = False
    """Also write <stem>.html, one page for a browser that needs nothing else; the same as --save report."""
    classes: str | None = None
    """Keep objects of these classes alone: names or category ids, comma-separated."""
    region: str | None = None
    """Keep objects only while the centre of their box lies in a part of the picture: x,y,width,height in pixels, or the
    corners of a polygon, x,y,x,y,x,y ..."""
    on_bad: OnBad | None = None
    """What cannot be read is left out (skip) or an error (stop); default: of several sources those that fail are left
    out (exit code 3), and single frames. left_out.json beside the results lists the sources."""
    overwrite: Overwrite = False
    json: str | None = None
    """Also write what was made as JSON here; without a path, JSON alone on stdout."""
    quiet: bool = False
    """Report nothing but warnings and errors."""


@dataclass(frozen=True, kw_only=True)
class EvaluatedData:
    """What the model is run on."""

    root: Path | None = None
    """Folder of the data set, in one of the YouTube-VIS layouts."""
    split: str = "valid"
    """Split to run on; it needs annotations."""


@dataclass(frozen=True, kw_only=True)
class Evaluate:
    """Run a model over a split, print AP and AR, and write metrics.json and results.json."""

    run: Annotated[str, tyro.conf.Positional, tyro.conf.arg(metavar="RUN")]
    """A run folder (its best weights), a model folder, or the word bundled."""
    data: EvaluatedData = EvaluatedData()
    out: Path | None = None
    """Folder of metrics.json and results.json; default runs/evaluate/NAME, then NAME-2 and so on."""
    report: bool = False
    """Also write report.html, one page for a browser that needs nothing else (intervals, classes, sizes, errors,
    curves, best and worst videos), and its plots as PNG with their numbers as CSV beside each."""
    on_bad: OnBad | None = None
    """What cannot be read is left out (skip) or an error (stop); default: of several videos those that fail are not
    measured (exit code 3). left_out.json beside the metrics lists them."""
    overwrite: Overwrite = False
    json: str | None = None
    """Also write the figures as JSON (fractions, null for nothing to measure) here; without a path, JSON alone."""
    short_side: int | None = None
    """Shortest side of the frames, in pixels; as the model was evaluated where it is not given."""
    clip_frames: int | None = None
    """Frames per clip; longer videos are cut into windows."""
    clip_overlap: int | None = None
    """Frames that neighbouring windows share."""
    top_k: int | None = None
    """(query, class) pairs kept per clip, by score."""
    min_score: float | None = None
    """Pairs below this score are left out; 0 counts all, as published."""
    precision: PrecisionChoice | None = None
    """Number format of the network, float32, bf16 (faster where the processor has it), or auto: bf16 on processors with
    AMX and GPUs that have it, else float32; what it chose is said and stands in the JSON. Default as recorded, else
    float32."""
    workers: int | None = None
    """Processes that share the videos, each with the model; the figures are the same."""
    ray: bool = False
    """Have actors of a Ray cluster share the videos (extra ray), --workers of them, else one per processor; without an
    address the cluster is this machine. Files must have the same places on all machines, or lie in a store."""
    ray_address: str | None = None
    """The cluster, as HOST:PORT, ray://HOST:PORT or auto."""
    gpus_per_worker: float | None = None
    """CUDA devices of each actor, such as 1 or 0.5; default none."""
    device: str = "auto"
    """cpu, cuda, cuda:1 ..., or auto: CUDA where there is one."""
    quiet: bool = False
    """No progress bar."""


@dataclass(frozen=True, kw_only=True)
class Demo:
    """Render a clip that no model was trained on, find and follow its objects, and compare with the truth."""

    run: str = "bundled"
    """Weights to use: a run folder, a model folder, or the word bundled."""
    all: bool = False
    """Run all six systems on the clip, side by side, each with the weights of its small recipe where they are."""
    out: Path | None = None
    """Folder to write to; default runs/demo/demo, then demo-2 and so on."""
    overwrite: Overwrite = False
    json: str | None = None
    """Also write metrics and files as JSON here; without a path, JSON alone on stdout."""
