"""What is known of the recipes' metrics: what was published of them, and what we measured.

All are percent of the validation set that the recipe's name says; what a document does not give is None.
"""

from dataclasses import dataclass


@dataclass(frozen=True, kw_only=True)
class Metrics:
    """AP and recalls in percent, speed and size of one run."""

    ap: float
    ap50: float | None = None
    ap75: float | None = None
    ar1: float | None = None
    ar10: float | None = None
    fps: float | None = None
    """Frames per second, on whatever the run was made on."""
    parameters: float | None = None
    """In millions; published ones are all entries of the state dict."""
    source: str
    """Of the AP, and of others where it differs."""


@dataclass(frozen=True, kw_only=True)
class Reported(Metrics):
    """A row of somebody's table; its source begins with "derived: " where nobody states the AP itself."""

    @property
    def is_derived(self) -> bool:
        return self.source.startswith("derived: ")


@dataclass(frozen=True, kw_only=True)
class Measured(Metrics):
    """A run of ours; its source says what it was measured on, and where the run is described."""

    command: str


_OFFICIAL = "by the official repository"
_SIZE = "parameters: TAFormer, table 1"
_AS_JOINT = "read as trained with COCO"
"""The main rows of MS-STS stand beside SeqFormer's joint ones, "with the same settings"."""
REPORTED: dict[str, tuple[Reported, ...]] = {
    "seqformer-r50-ytvis19": (Reported(ap=45.1, parameters=49.3, source=f"{_OFFICIAL}; {_SIZE}"),),
    "seqformer-r50-ytvis19-joint": (Reported(ap=47.4, parameters=49.3, source=f"{_OFFICIAL}; parameters: MS-STS"),),
    "seqformer-r101-ytvis19-joint": (Reported(ap=49.0, parameters=68.4, source=f"{_OFFICIAL}; {_SIZE}"),),
    "seqformer-swin-l-ytvis19-joint": (Reported(ap=59.3, parameters=220.0, source=f"{_OFFICIAL}; {_SIZE}"),),
    "seqformer-r50-ytvis21-joint": (
        Reported(ap=40.5, ap50=62.5, ap75=43.6, ar1=36.2, ar10=48.0, source="TAFormer, table 2"),
    ),
    "ms-sts-r50-ytvis19": (
        Reported(ap=50.1, ap50=73.2, ap75=56.6, ar1=46.1, ar10=57.7, fps=10.0, parameters=50.6, source="paper"),
    ),
    "ms-sts-r101-ytvis19": (Reported(ap=51.1, source="paper"),),
    "ms-sts-swin-l-ytvis19": (Reported(ap=61.0, source="paper"),),
    "ms-sts-r50-ytvis19-joint": (
        Reported(
            ap=50.1, ap50=73.2, ap75=56.6, ar1=46.1, ar10=57.7, fps=10.0, parameters=50.6, source=f"paper, {_AS_JOINT}"
        ),
    ),
    "ms-sts-r101-ytvis19-joint": (Reported(ap=51.1, source=f"paper, {_AS_JOINT}"),),
    "ms-sts-swin-l-ytvis19-joint": (Reported(ap=61.0, source=f"paper, {_AS_JOINT}"),),
    "ms-sts-r50-ytvis19-without-adversary": (
        Reported(ap=49.1, source="derived: 50.1 less the 1.0 that the paper says the loss brings"),
    ),
    "ms-sts-r50-ytvis19-split": (
        Reported(ap=48.4, ap50=70.4, ap75=54.8, ar1=45.9, ar10=56.1, source="supplement, table S1 f"),
    ),
    "ms-sts-r50-ytvis19-baseline": (
        Reported(ap=46.4, ap50=68.7, ap75=50.3, ar1=44.9, ar10=54.3, fps=11.0, source="supplement, tables S1 a and S2"),
    ),
    "ms-sts-r50-ytvis19-attention-after": (
        Reported(ap=47.0, ap50=69.1, ap75=51.5, ar1=45.4, ar10=54.8, source="supplement, table S1 b"),
    ),
    "ms-sts-r50-ytvis19-attention-before": (
        Reported(ap=47.3, ap50=69.3, ap75=51.8, ar1=45.6, ar10=55.1, source="supplement, table S1 c"),
    ),
    "ms-sts-r50-ytvis19-encoder-after": (
        Reported(ap=46.8, ap50=68.8, ap75=51.3, ar1=45.3, ar10=54.6, source="supplement, table S1 d"),
    ),
    "ms-sts-r50-ytvis19-encoder-before": (
        Reported(ap=47.1, ap50=68.9, ap75=51.4, ar1=45.5, ar10=54.4, source="supplement, table S1 e"),
    ),
    "ms-sts-r50-ytvis19-t2": (Reported(ap=40.7, source="supplement, table S2"),),
    "ms-sts-r50-ytvis19-t3": (Reported(ap=44.4, source="supplement, table S2"),),
    "ms-sts-r50-ytvis19-t4": (Reported(ap=47.5, source="supplement, table S2"),),
    "ms-sts-r50-ytvis19-baseline-t2": (Reported(ap=38.4, source="supplement, table S2"),),
    "ms-sts-r50-ytvis19-baseline-t3": (Reported(ap=41.7, source="supplement, table S2"),),
    "ms-sts-r50-ytvis19-baseline-t4": (Reported(ap=44.3, source="supplement, table S2"),),
    "taformer-r50-ytvis19": (
        Reported(
            ap=48.1,
            ap50=71.6,
            ap75=52.5,
            ar1=45.9,
            ar10=56.6,
            parameters=52.2,
            source="table 1 and the ablations",
        ),
    ),
    "taformer-r101-ytvis19": (Reported(ap=50.6, parameters=71.3, source="table 1"),),
    "taformer-swin-l-ytvis19": (Reported(ap=61.2, parameters=222.9, source="table 1"),),
    "taformer-r50-ytvis21": (Reported(ap=42.1, source="table 2"),),
    "taformer-r50-ytvis19-baseline": (Reported(ap=44.9, source="table 3, and 4/0 of table 5"),),
    "taformer-r50-ytvis19-encoder": (
        Reported(ap=46.4, source="table 3, the dynamic fusion of table 4, 4/4 of table 5"),
    ),
    "taformer-r50-ytvis19-encoder-decoder": (
        Reported(ap=47.0, ap75=52.7, source="table 3, and no contrast of table 6"),
    ),
    "taformer-r50-ytvis19-fusion-add": (Reported(ap=45.9, source="table 4"),),
    "taformer-r50-ytvis19-fusion-concat": (Reported(ap=46.2, source="table 4"),),
    "taformer-r50-ytvis19-baseline-one-level": (Reported(ap=41.7, source="1/0 of table 5"),),
    "taformer-r50-ytvis19-encoder-one-level": (Reported(ap=42.6, source="1/1 of table 5"),),
    "taformer-r50-ytvis19-contrast-last": (Reported(ap=47.7, ap75=51.6, source="table 6"),),
    "taformer-r50-ytvis19-points1": (Reported(ap=46.6, parameters=50.4, source="table 7"),),
    "taformer-r50-ytvis19-points2": (Reported(ap=47.5, parameters=51.0, source="table 7"),),
    "taformer-r50-ytvis19-points3": (Reported(ap=47.9, parameters=51.6, source="table 7"),),
    "vistr-r50-ytvis19": (
        Reported(ap=36.2, fps=69.9, parameters=57.2, source=f"{_OFFICIAL}; {_SIZE}; FPS: TT-SPN, without loading"),
        Reported(ap=35.6, fps=30.0, source="Deformable VisTR, poster"),
    ),
    "vistr-r101-ytvis19": (
        Reported(ap=40.1, fps=57.7, parameters=76.3, source=f"{_OFFICIAL}; {_SIZE}; FPS: TT-SPN, without loading"),
        Reported(ap=38.6, source="paper"),
    ),
    "vistr-r50-ytvis21": (Reported(ap=31.8, ap50=51.7, ap75=34.5, ar1=29.7, ar10=36.9, source="TAFormer, table 2"),),
    "deformable-vistr-r50-ytvis19": (Reported(ap=34.6, fps=33.0, source="poster"),),
    "deformable-vistr-r50-ytvis19-k16": (Reported(ap=33.8, source="poster"),),
    "tt-spn-twins-ytvis19": (Reported(ap=39.3, ap50=61.3, ap75=38.2, ar1=40.0, ar10=41.3, fps=55.3, source="paper"),),
}
"""By recipe. The first report counts; others of the same row follow."""

WITHOUT_RECIPE: dict[str, Reported] = {
    "SeqFormer, ResNeXt-101, YouTube-VIS 2019 joined with COCO": Reported(ap=51.2, source=_OFFICIAL),
}
"""Published rows of the six systems that no recipe stands for."""


def _learnt(recipe: str, videos: str, parameters: float, *shares: float) -> Measured:
    """A small recipe after its own command."""
    ap, ap50, ap75, ar1, ar10 = shares
    return Measured(
        ap=ap,
        ap50=ap50,
        ap75=ap75,
        ar1=ar1,
        ar10=ar10,
        parameters=parameters,
        source=f"40 unseen rendered videos, after training on {videos}; EXPERIMENTS.md",
        command=f"maskreel train {recipe} --data.root data/",
    )


MEASURED: dict[str, Measured] = {
    recipe: _learnt(recipe, videos, parameters, *shares)
    for recipe, videos, parameters, *shares in (
        ("seqformer-tiny", "200", 3.1, 43.5, 72.1, 51.4, 38.9, 59.9),
        ("ms-sts-tiny", "1,000", 3.2, 45.0, 73.5, 52.7, 36.5, 58.3),
        ("taformer-tiny", "1,000", 3.5, 47.1, 76.9, 57.7, 38.5, 60.3),
        ("vistr-tiny", "1,000", 2.4, 27.0, 47.3, 31.5, 30.6, 45.3),
        ("deformable-vistr-tiny", "1,000", 2.5, 54.2, 83.8, 62.4, 42.0, 63.6),
        ("tt-spn-tiny", "1,000", 2.2, 43.7, 66.6, 48.1, 37.7, 55.1),
    )
}
"""By recipe, of the recipe as it stands: runs with other budgets are in EXPERIMENTS.md."""
