"""Every kind of foreign checkpoint that is recognised."""

from maskreel.models.sources.deformable_detr import DEFORMABLE_DETR, TWO_STAGE
from maskreel.models.sources.detectron2 import SEQFORMER_DETECTRON2
from maskreel.models.sources.detr import DETR
from maskreel.models.sources.mssts import DISCRIMINATOR, MSSTS
from maskreel.models.sources.refused import DEFVIS, PCPVT, TTSPN_PARTS, TTSPN_TWINS
from maskreel.models.sources.resnet import RESNET
from maskreel.models.sources.seqformer import SEQFORMER
from maskreel.models.sources.swin import SWIN, SWIN_TIMM
from maskreel.models.sources.table import Refusal, Source
from maskreel.models.sources.twins import TWINS
from maskreel.models.sources.vistr import VISTR

SOURCES: dict[str, Source] = {
    source.name: source
    for source in (
        SEQFORMER,
        SEQFORMER_DETECTRON2,
        MSSTS,
        DISCRIMINATOR,
        VISTR,
        DEFORMABLE_DETR,
        DETR,
        RESNET,
        SWIN,
        SWIN_TIMM,
        TWINS,
    )
}
REFUSALS: tuple[Refusal, ...] = (DEFVIS, PCPVT, TTSPN_PARTS, TTSPN_TWINS, TWO_STAGE)
