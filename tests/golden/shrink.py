"""Makes the small golden set, which is shipped, from the full one: `python -m tests.golden.shrink`.

Tensors are picked by name and stored as they are, bit for bit; files are packed with xz.
"""

import lzma
import shutil
from fnmatch import fnmatchcase

from safetensors.torch import load_file, save

from tests.builders import SMALL, shared_path

FILES: dict[str, tuple[str, ...]] = {
    "criterion/ddetr.safetensors": ("*",),
    "criterion/defvis.safetensors": ("*",),
    "criterion/detr.safetensors": ("*",),
    "criterion/seqformer.safetensors": ("*",),
    "criterion/vistr.safetensors": ("*",),
    "defvis/transformer_inputs.safetensors": ("*",),
    "defvis/transformer_outputs.safetensors": ("*",),
    "defvis/transformer_weights.safetensors": ("*",),
    "inference/defvis_outputs.safetensors": ("video1.*",),
    "inference/seqformer_outputs.safetensors": ("video2.*",),
    "inference/vistr_outputs.safetensors": ("video1.*",),
    "msda/core.safetensors": ("c0_tiny.*", "c2_oddhead.*", "c3_onelevel.*", "c4_border.*"),
    "msda/module_ddetr.safetensors": ("m1_ref4_mask.*",),
    "msda/module_seqformer.safetensors": ("s_enc.*",),
    "mssts/extra.safetensors": ("*",),
    "seqformer/inputs.safetensors": ("feat.*", "mask", "target.*"),
    "seqformer/outputs.safetensors": (
        *("aux.*", "controller.*", "dec.*", "grad.*", "gradnorm.*", "hs", "init_reference", "input_proj.3"),
        *("inter_references", "loss*", "mask_feat.*", "match.*", "pos.[234]", "pred_*", "train_masks.*"),
        "valid_ratios",
    ),
    "seqformer/weights.safetensors": ("*",),
    "ttspn/inputs.safetensors": ("bbox_embed.*", "class_embed.*", "transformer.*"),
    "ttspn/outputs.safetensors": ("*",),
    "ttspn/weights.safetensors": ("bbox_embed.*", "class_embed.*", "transformer.*"),
    "twins/inputs.safetensors": ("image",),
    "twins/outputs.safetensors": ("det.out*",),
    "twins/weights.safetensors": ("*",),
    "units/seqformer.safetensors": ("*",),
    "units/vistr.safetensors": ("*",),
    "vistr/inputs.safetensors": ("feat.[012]", "mask"),
    "vistr/outputs.safetensors": (
        "aux.*",
        "bbox_attention.*",
        "hs",
        "mask_head_mean.*",
        "memory",
        "pos_*",
        "pred_logits",
    ),
    "vistr/weights.safetensors": ("mask_head.*", "vistr.class_embed.*"),
}
"""Tensors that are shipped, by file: the smallest cases of every published part, every case of every criterion."""

TEXTS = (
    *(f"{folder}/README.md" for folder in sorted({name.partition("/")[0] for name in FILES})),
    *(f"inference/{system}_results.json" for system in ("defvis", "seqformer", "vistr")),
)
"""Files that are shipped whole: the tables that name every tensor and its rounding noise, and recorded results."""

LISTS = tuple(
    f"statedicts/{name}.txt"
    for name in (
        *("deformable_detr_resnet50", "deformable_detr_resnet50_refine", "defvis_resnet50", "detr_resnet50"),
        *("mssts_discriminator", "mssts_resnet50", "seqformer_resnet101", "seqformer_resnet50"),
        *("seqformer_swin_l_p4w12", "ttspn_parts", "ttspn_twins", "twins_pcpvt_small_det", "twins_svt_base_cls"),
        *("twins_svt_base_det", "twins_svt_large_cls", "twins_svt_large_det", "twins_svt_small_cls"),
        *("twins_svt_small_det", "vistr_resnet101", "vistr_resnet50"),
    )
)
"""Names and shapes of the tensors in published checkpoints."""


def main() -> None:
    shutil.rmtree(SMALL, ignore_errors=True)
    packed = {}
    for name, patterns in FILES.items():
        tensors = load_file(shared_path(f"golden/{name}"))
        packed[name] = save({k: v for k, v in tensors.items() if any(fnmatchcase(k, p) for p in patterns)})
    packed |= {name: shared_path(f"golden/{name}").read_bytes() for name in TEXTS}
    packed |= {name: shared_path(f"design/{name}").read_bytes() for name in LISTS}
    for name, content in packed.items():
        path = SMALL / f"{name}.xz"
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(lzma.compress(content, preset=9 | lzma.PRESET_EXTREME))


if __name__ == "__main__":
    main()
