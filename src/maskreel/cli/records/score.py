"""What can be typed after score, submit and compare.

These modules import nothing heavy, so that help and mistyped options are answered at once.
"""

from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Optional

import tyro

from maskreel.cli.records.overwrite import Overwrite
from maskreel.evaluation.catalog import DEFAULT, described, with_scores

METRICS_HELP = (
    f"What to measure, comma-separated: {described()}. Of these only {with_scores()} look at scores: filter the "
    "results before the others."
)


@dataclass(frozen=True, kw_only=True)
class Score:
    """Measure a results file against an annotation file, both in the YouTube-VIS layout."""

    ground_truth: Annotated[Path, tyro.conf.Positional, tyro.conf.arg(metavar="GT")]
    """File with the annotated tracks."""
    predictions: Annotated[Path, tyro.conf.Positional, tyro.conf.arg(metavar="PRED")]
    """File with the predicted tracks: a list of video_id, category_id, score and segmentations."""
    metrics: Annotated[str, tyro.conf.arg(help=METRICS_HELP)] = DEFAULT
    per_class: bool = False
    """Also print the figures of each class."""
    per_video: bool = False
    """Also give the figures of each video."""
    bootstrap: int = 0
    """Resample the videos so many times (say 1000) for 95 % confidence intervals."""
    errors: bool = False
    """Say what AP is lost to: wrong classes, weak masks, lost identities, duplicates, missed and spurious objects."""
    strict_reference: bool = False
    """Reproduce the faults of the reference evaluators instead of repairing or refusing."""
    overwrite: Overwrite = False
    json: Optional[str] = None
    """Also write the figures as JSON (fractions, null for nothing to measure) here; without a path, JSON alone."""
    csv: Optional[Path] = None
    """Also write the figures as one table here: metric, group, item, figure, value, low, high."""


@dataclass(frozen=True, kw_only=True)
class Submit:
    """Validate a results file for a benchmark's server, name every fault, and write the zip with results.json at top
    level. Nothing is sent."""

    results: Annotated[Path, tyro.conf.Positional, tyro.conf.arg(metavar="RESULTS")]
    """Results file in the YouTube-VIS layout."""
    dataset: str
    """Benchmark: ytvis19, ytvis21, ytvis22 (40 classes each), or ovis (25)."""
    videos: Optional[Path] = None
    """Annotation file of the split (its annotations may be null); also checks ids, lengths and sizes of the videos."""
    out: Optional[Path] = None
    """Archive to write; default the results file's name with .zip."""
    overwrite: Overwrite = False
    json: Optional[str] = None
    """Also write the findings as JSON here; without a path, JSON alone on stdout."""


@dataclass(frozen=True, kw_only=True)
class Compare:
    """Differences of two score files (`maskreel score GT PRED --json PATH`, or a run's metrics.json): every overall
    figure, then the main figure of each class, and of each video where both were scored with --per-video."""

    before: Annotated[Path, tyro.conf.Positional, tyro.conf.arg(metavar="A.json")]
    """Score file to compare with."""
    after: Annotated[Path, tyro.conf.Positional, tyro.conf.arg(metavar="B.json")]
    """Score file to judge."""
    fail_below: Optional[float] = None
    """Exit code 1 when the main figure of a metric (the first of its table, such as AP) changes by less than this, in
    percent points from A to B: 0 allows no loss, --fail-below=-0.5 half a point, 1 asks for a gain of one."""
    rows: int = 20
    """Most classes and videos to print, the largest losses first."""
    overwrite: Overwrite = False
    json: Optional[str] = None
    """Also write all differences as JSON here; without a path, JSON alone on stdout."""
