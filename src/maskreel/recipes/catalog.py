"""Every recipe by the name typed on the command line; which there are is known without importing them, and torch."""

from collections.abc import Callable, Iterator, Mapping
from importlib import import_module
from typing import TYPE_CHECKING, Any

from maskreel.config import suggestion
from maskreel.errors import UsageError

if TYPE_CHECKING:
    from maskreel.training.recipe import Recipe


class _Recipes(Mapping[str, Any]):
    """The functions that make the recipes, imported when they are asked for."""

    def __init__(self, homes: Mapping[str, str]) -> None:
        """`homes` are MODULE.FUNCTION by name."""
        self._homes = homes

    def __getitem__(self, name: str) -> Any:
        module, _, function = self._homes[name].partition(".")
        return getattr(import_module(f"maskreel.recipes.{module}"), function)

    def __contains__(self, name: object) -> bool:
        return name in self._homes

    def __iter__(self) -> Iterator[str]:
        return iter(self._homes)

    def __len__(self) -> int:
        return len(self._homes)


RECIPES: "Mapping[str, Callable[[], Recipe]]" = _Recipes(
    {
        "seqformer-r50-ytvis19": "seqformer.r50_ytvis19",
        "seqformer-r50-ytvis19-joint": "seqformer.r50_ytvis19_joint",
        "seqformer-r101-ytvis19-joint": "seqformer.r101_ytvis19_joint",
        "seqformer-swin-l-ytvis19-joint": "seqformer.swin_l_ytvis19_joint",
        "seqformer-r50-ytvis21-joint": "seqformer.r50_ytvis21_joint",
        "seqformer-tiny": "seqformer.tiny",
        "ms-sts-r50-ytvis19": "ms_sts.r50_ytvis19",
        "ms-sts-r101-ytvis19": "ms_sts.r101_ytvis19",
        "ms-sts-swin-l-ytvis19": "ms_sts.swin_l_ytvis19",
        "ms-sts-r50-ytvis19-joint": "ms_sts.r50_ytvis19_joint",
        "ms-sts-r101-ytvis19-joint": "ms_sts.r101_ytvis19_joint",
        "ms-sts-swin-l-ytvis19-joint": "ms_sts.swin_l_ytvis19_joint",
        "ms-sts-r50-ytvis19-consecutive": "ms_sts.consecutive",
        "ms-sts-r50-ytvis19-without-adversary": "ms_sts.without_adversary",
        "ms-sts-r50-ytvis19-without-decoder": "ms_sts.without_decoder",
        "ms-sts-r50-ytvis19-decoder": "ms_sts.decoder",
        "ms-sts-r50-ytvis19-adversary": "ms_sts.adversary",
        "ms-sts-r50-ytvis19-split": "ms_sts.split",
        "ms-sts-r50-ytvis19-baseline": "ms_sts.baseline",
        "ms-sts-r50-ytvis19-attention-after": "ms_sts.attention_after",
        "ms-sts-r50-ytvis19-attention-before": "ms_sts.attention_before",
        "ms-sts-r50-ytvis19-encoder-after": "ms_sts.encoder_after",
        "ms-sts-r50-ytvis19-encoder-before": "ms_sts.encoder_before",
        "ms-sts-r50-ytvis19-intra-only": "ms_sts.intra_only",
        "ms-sts-r50-ytvis19-inter-only": "ms_sts.inter_only",
        "ms-sts-r50-ytvis19-intra-paired": "ms_sts.intra_paired",
        "ms-sts-r50-ytvis19-intra-window": "ms_sts.intra_window",
        "ms-sts-r50-ytvis19-inter-window": "ms_sts.inter_window",
        "ms-sts-r50-ytvis19-t2": "ms_sts.t2",
        "ms-sts-r50-ytvis19-t3": "ms_sts.t3",
        "ms-sts-r50-ytvis19-t4": "ms_sts.t4",
        "ms-sts-r50-ytvis19-t36": "ms_sts.t36",
        "ms-sts-r50-ytvis19-baseline-t2": "ms_sts.baseline_t2",
        "ms-sts-r50-ytvis19-baseline-t3": "ms_sts.baseline_t3",
        "ms-sts-r50-ytvis19-baseline-t4": "ms_sts.baseline_t4",
        "ms-sts-r50-ytvis19-baseline-t36": "ms_sts.baseline_t36",
        "ms-sts-r50-ytvis19-t2-linked": "ms_sts.t2_linked",
        "ms-sts-r50-ytvis19-t3-linked": "ms_sts.t3_linked",
        "ms-sts-r50-ytvis19-t4-linked": "ms_sts.t4_linked",
        "ms-sts-r50-ytvis19-t5-linked": "ms_sts.t5_linked",
        "ms-sts-r50-ytvis19-baseline-t2-linked": "ms_sts.baseline_t2_linked",
        "ms-sts-r50-ytvis19-baseline-t3-linked": "ms_sts.baseline_t3_linked",
        "ms-sts-r50-ytvis19-baseline-t4-linked": "ms_sts.baseline_t4_linked",
        "ms-sts-r50-ytvis19-baseline-t5-linked": "ms_sts.baseline_t5_linked",
        "ms-sts-tiny": "ms_sts.tiny",
        "taformer-r50-ytvis19": "taformer.r50_ytvis19",
        "taformer-r101-ytvis19": "taformer.r101_ytvis19",
        "taformer-swin-l-ytvis19": "taformer.swin_l_ytvis19",
        "taformer-r50-ytvis21": "taformer.r50_ytvis21",
        "taformer-r50-coco": "taformer.r50_coco",
        "taformer-r50-ytvis19-consecutive": "taformer.consecutive",
        "taformer-r50-ytvis19-raw-time": "taformer.raw_time",
        "taformer-r50-ytvis19-baseline": "taformer.baseline",
        "taformer-r50-ytvis19-encoder": "taformer.encoder",
        "taformer-r50-ytvis19-encoder-decoder": "taformer.encoder_decoder",
        "taformer-r50-ytvis19-fusion-add": "taformer.fusion_add",
        "taformer-r50-ytvis19-fusion-concat": "taformer.fusion_concat",
        "taformer-r50-ytvis19-baseline-one-level": "taformer.baseline_one_level",
        "taformer-r50-ytvis19-encoder-one-level": "taformer.encoder_one_level",
        "taformer-r50-ytvis19-baseline-one-level-tokens": "taformer.baseline_one_level_tokens",
        "taformer-r50-ytvis19-encoder-one-level-tokens": "taformer.encoder_one_level_tokens",
        "taformer-r50-ytvis19-contrast-last": "taformer.contrast_last",
        "taformer-r50-ytvis19-contrast-sum": "taformer.contrast_sum",
        "taformer-r50-ytvis19-points1": "taformer.points1",
        "taformer-r50-ytvis19-points2": "taformer.points2",
        "taformer-r50-ytvis19-points3": "taformer.points3",
        "taformer-tiny": "taformer.tiny",
        "vistr-r50-ytvis19": "vistr.r50_ytvis19",
        "vistr-r101-ytvis19": "vistr.r101_ytvis19",
        "vistr-r50-ytvis21": "vistr.r50_ytvis21",
        "vistr-tiny": "vistr.tiny",
        "deformable-vistr-r50-ytvis19": "deformable_vistr.r50_ytvis19",
        "deformable-vistr-r50-ytvis19-k16": "deformable_vistr.r50_ytvis19_k16",
        "deformable-vistr-tiny": "deformable_vistr.tiny",
        "tt-spn-twins-ytvis19": "tt_spn.twins_ytvis19",
        "tt-spn-twins-ytvis19-mlp": "tt_spn.twins_ytvis19_mlp",
        "tt-spn-twins-ytvis19-deep": "tt_spn.twins_ytvis19_deep",
        "tt-spn-twins-ytvis19-stated": "tt_spn.twins_ytvis19_stated",
        "tt-spn-twins-ytvis19-siren": "tt_spn.twins_ytvis19_siren",
        "tt-spn-r50-ytvis19": "tt_spn.r50_ytvis19",
        "tt-spn-tiny": "tt_spn.tiny",
        "tt-spn-tiny-mlp": "tt_spn.tiny_mlp",
    }
)


def find_recipe(name: str) -> "Recipe":
    """The recipe of a name; UsageError with the nearest name where there is none."""
    if name not in RECIPES:
        hint = suggestion(name, RECIPES, f"recipes: {', '.join(RECIPES)}")
        raise UsageError(f"unknown recipe {name!r}; {hint}")
    return RECIPES[name]()
