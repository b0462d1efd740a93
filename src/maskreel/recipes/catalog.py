"""Every recipe by the name typed on the command line."""

from collections.abc import Callable

from maskreel.recipes import seqformer
from maskreel.training.recipe import Recipe

RECIPES: dict[str, Callable[[], Recipe]] = {
    "seqformer-r50-ytvis19": seqformer.r50_ytvis19,
    "seqformer-r50-ytvis19-joint": seqformer.r50_ytvis19_joint,
    "seqformer-r101-ytvis19-joint": seqformer.r101_ytvis19_joint,
    "seqformer-tiny": seqformer.tiny,
}
