"""Every kind of foreign checkpoint that is recognised."""

from maskreel.checkpoints.sources.deformable_detr import DEFORMABLE_DETR, TWO_STAGE
from maskreel.checkpoints.sources.detectron2 import SEQFORMER_DETECTRON2
from maskreel.checkpoints.sources.detr import DETR
from maskreel.checkpoints.sources.mssts import DISCRIMINATOR, MSSTS
from maskreel.checkpoints.sources.refused import DEFVIS, PCPVT, TTSPN_PARTS, TTSPN_TWINS
from maskreel.checkpoints.sources.resnet import RESNET
from maskreel.checkpoints.sources.seqformer import SEQFORMER
from maskreel.checkpoints.sources.swin import SWIN, SWIN_TIMM
from maskreel.checkpoints.sources.table import Refusal, Source
from maskreel.checkpoints.sources.twins import TWINS
from maskreel.checkpoints.sources.vistr import VISTR

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
