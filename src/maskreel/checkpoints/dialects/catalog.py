"""Every kind of foreign checkpoint that is recognised."""

from maskreel.checkpoints.dialects.deformable_detr import DEFORMABLE_DETR, TWO_STAGE
from maskreel.checkpoints.dialects.detectron2 import SEQFORMER_DETECTRON2
from maskreel.checkpoints.dialects.detr import DETR
from maskreel.checkpoints.dialects.mssts import DISCRIMINATOR, MSSTS
from maskreel.checkpoints.dialects.refused import DEFVIS, PCPVT, TTSPN_PARTS, TTSPN_TWINS
from maskreel.checkpoints.dialects.resnet import RESNET
from maskreel.checkpoints.dialects.seqformer import SEQFORMER
from maskreel.checkpoints.dialects.swin import SWIN, SWIN_TIMM
from maskreel.checkpoints.dialects.table import Dialect, Refusal
from maskreel.checkpoints.dialects.twins import TWINS
from maskreel.checkpoints.dialects.vistr import VISTR

DIALECTS: dict[str, Dialect] = {
    dialect.name: dialect
    for dialect in (
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
