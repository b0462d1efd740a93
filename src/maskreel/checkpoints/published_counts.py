"""Sizes that were published, or that published code gives, or that follow from a publication by arithmetic."""

from dataclasses import dataclass

from maskreel.checkpoints.published import Convention


@dataclass(frozen=True, kw_only=True)
class PublishedCount:
    """One size."""

    model: str
    """A key of `PUBLISHED_MODELS`."""
    convention: Convention
    published: int
    source: str
    part: str = ""
    """Regular expression for the start of the published names that are counted; all without it."""


_THREE: tuple[Convention, ...] = ("trainable", "parameters", "state_dict")
_SEQFORMER = "official SeqFormer code, instantiated and counted"
_SEQFORMER_ROUNDED = "official SeqFormer code, all entries of its state dict; {} M reported in TAFormer, table 1"
_VISTR = "official VisTR code, instantiated and counted"
_VISTR_ROUNDED = "official VisTR code, all entries of its state dict; {} M reported in TAFormer, table 1"
_TAFORMER = (
    "derived: SeqFormer with shared projections, one temporal attention, two-layer head; {} M reported, table {}"
)
_TAFORMER_PART = "derived from the differences between the sizes in TAFormer, tables 1 and 7"
_MS_STS = (
    "derived: SeqFormer with bottlenecks of 64 and one temporal attention; 50.6 M reported beside the paper's code"
)
_MS_STS_OTHER = "derived: another reading that comes to the 50.6 M reported beside the paper's code"
_MS_STS_CODE = "official MS-STS code, instantiated and counted"
_DEFORMABLE_VISTR = "derived from the poster: encoder with 3-D offsets, VisTR's decoder and heads, 42 logits"
_DEFORMABLE_VISTR_OTHER = "derived from the poster: another reading of the attention, 42 logits"
_TT_SPN = "derived from the paper: Twins-SVT-S, two sine layers in both heads, VisTR's mask head, 42 logits"
_TT_SPN_CODE = "derived from the released code: one sine layer in the class head"
_TWINS = "official Twins-SVT-S code without its final norm and classifier, instantiated and counted"
_DETR = "official DETR code, 92 logits, instantiated and counted"
_DEFORMABLE_DETR = "official Deformable DETR code, 91 logits, instantiated and counted"


def _in_three(model: str, counts: tuple[int, int, int], source: str, rounded: str) -> tuple[PublishedCount, ...]:
    """Trainable, all parameters, all entries of the state dict; the last one was published in rounded form."""
    sources = (source, source, rounded)
    return tuple(
        PublishedCount(model=model, convention=convention, published=count, source=origin)
        for convention, count, origin in zip(_THREE, counts, sources, strict=True)
    )


def _parts(model: str, source: str, *rows: tuple[str, Convention, int]) -> tuple[PublishedCount, ...]:
    return tuple(
        PublishedCount(model=model, convention=convention, published=count, source=source, part=part)
        for part, convention, count in rows
    )


_ENCODER = r"detr\.transformer\.encoder\."
_DECODER = r"detr\.transformer\.decoder\."
PUBLISHED_COUNTS = (
    *_in_three("seqformer-r50", (48_181_773, 48_404_173, 49_306_085), _SEQFORMER, _SEQFORMER_ROUNDED.format("49.3")),
    *_parts(
        "seqformer-r50",
        _SEQFORMER,
        ("", "tensors", 733),
        ("", "frozen", 222_400),
        ("", "buffers", 106_240),
        ("", "second_names", 795_672),
        (r"detr\.backbone\.", "parameters", 23_454_912),
        (r"detr\.backbone\.", "trainable", 23_232_512),
        (r"detr\.input_proj\.", "parameters", 5_639_168),
        (_ENCODER, "parameters", 4_935_936),
        (_ENCODER, "unused", 394_752),
        (rf"{_DECODER}layers\.", "parameters", 11_261_190),
        (r"detr\.transformer\.level_embed", "parameters", 1_024),
        (r"detr\.transformer\.reference_points\.", "parameters", 514),
        (r"detr\.class_embed\.", "parameters", 64_764),
        (r"detr\.bbox_embed\.", "parameters", 795_672),
        (r"detr\.query_embed\.", "parameters", 153_600),
        (r"controller\.", "parameters", 175_017),
        (r"mask_head\.", "parameters", 1_922_376),
    ),
    *_in_three("seqformer-r101", (67_121_677, 67_344_077, 68_350_437), _SEQFORMER, _SEQFORMER_ROUNDED.format("68.4")),
    *_parts("seqformer-r101", _SEQFORMER, ("", "tensors", 988), ("", "buffers", 210_688)),
    *_in_three(
        "seqformer-swin-l", (218_741_441, 218_741_441, 220_034_777), _SEQFORMER, _SEQFORMER_ROUNDED.format("220.0")
    ),
    *_parts("seqformer-swin-l", _SEQFORMER, ("", "tensors", 825), ("", "buffers", 497_664)),
    PublishedCount(model="ms-sts-r50", convention="state_dict", published=50_615_781, source=_MS_STS),
    *_parts(
        "ms-sts-r50",
        _MS_STS,
        (rf"{_ENCODER}split\.", "parameters", 6 * (99_584 + 74_752)),
        (rf"{_DECODER}temporal\.", "parameters", 263_680),
    ),
    PublishedCount(
        model="ms-sts-r50-three-wide-layers", convention="state_dict", published=50_635_340, source=_MS_STS_OTHER
    ),
    PublishedCount(
        model="seqformer-r50-three-layers",
        convention="state_dict",
        published=40_379_468,
        source="derived: the SeqFormer of three and three layers that the MS-STS code defaults to",
    ),
    PublishedCount(model="ms-sts-discriminator", convention="parameters", published=2_891_008, source=_MS_STS_CODE),
    *(
        PublishedCount(model=model, convention="state_dict", published=count, source=_TAFORMER.format(rounded, table))
        for model, count, rounded, table in (
            ("taformer-r50-points1", 50_444_197, "50.4", 7),
            ("taformer-r50-points2", 51_036_325, "51.0", 7),
            ("taformer-r50-points3", 51_628_453, "51.6", 7),
            ("taformer-r50-points4", 52_220_581, "52.2", 7),
            ("taformer-r101", 71_264_933, "71.3", 1),
            ("taformer-swin-l", 222_949_273, "222.9", 1),
        )
    ),
    *_parts(
        "taformer-r50-points4",
        _TAFORMER_PART,
        ("", "parameters", 51_318_669),
        (rf"{_ENCODER}layers\.\d+\.neighbours\.", "parameters", 2_368_512),
        (rf"{_ENCODER}layers\.\d+\.fusion\.", "parameters", 150_720),
        (rf"{_DECODER}temporal\.", "parameters", 263_168 + 512),
    ),
    PublishedCount(
        model="taformer-r50-temporal-per-layer", convention="state_dict", published=53_538_981, source=_TAFORMER_PART
    ),
    *_parts(
        "taformer-r50-concat",
        "derived: concatenation and a linear layer, TAFormer, table 4",
        (rf"{_ENCODER}layers\.\d+\.fusion\.", "parameters", 6 * 131_328),
    ),
    *_in_three("vistr-r50", (56_893_729, 57_116_129, 57_222_369), _VISTR, _VISTR_ROUNDED.format("57.2")),
    *_parts("vistr-r50", _VISTR, ("", "tensors", 503)),
    *_in_three("vistr-r101", (75_833_633, 76_056_033, 76_266_721), _VISTR, _VISTR_ROUNDED.format("76.3")),
    *_parts("vistr-r101", _VISTR, ("", "tensors", 758)),
    *(
        PublishedCount(model=model, convention="parameters", published=count, source=source)
        for model, count, source in (
            ("deformable-vistr-r50-k16", 56_524_769, _DEFORMABLE_VISTR),
            ("deformable-vistr-r50-k32", 57_707_489, _DEFORMABLE_VISTR),
            ("deformable-vistr-r50-k32-decoder", 58_300_004, _DEFORMABLE_VISTR_OTHER),
            ("deformable-vistr-r50-frames-as-levels", 67_317_089, _DEFORMABLE_VISTR_OTHER),
            ("tt-spn", 42_439_825, _TT_SPN),
            ("tt-spn-width384", 56_231_969, _TT_SPN),
            ("tt-spn-one-sine", 42_439_825 - 736, _TT_SPN_CODE),
            ("tt-spn-width384-one-sine", 56_231_969 - 736, _TT_SPN_CODE),
        )
    ),
    *_parts("tt-spn", _TWINS, (r"vistr\.backbone\.", "parameters", 23_546_752)),
    *_parts("detr-r50", _DETR, ("", "trainable", 41_302_368), ("", "parameters", 41_524_768)),
    *_parts("deformable-detr-r50", _DEFORMABLE_DETR, ("", "parameters", 40_069_665)),
    *_parts("deformable-detr-r50-refine", _DEFORMABLE_DETR, ("", "parameters", 40_849_660)),
)
