"""Every recipe: its name, its config file, the size of its model."""

import json
import re

import pytest
import torch

from maskreel.checkpoints.published import Counts, own_counts
from maskreel.config import from_dict, to_dict
from maskreel.models.folder import build_criterion, build_model
from maskreel.models.parts.backbones import SWIN_B, SWIN_L, SWIN_S, SWIN_T, ResNetConfig, SwinConfig
from maskreel.recipes.catalog import RECIPES
from maskreel.training.recipe import Recipe

COUNTS = {
    "seqformer-r50-ytvis19": Counts(trainable=47_783_937, parameters=48_006_337, state_dict=48_112_577),
    "seqformer-r50-ytvis19-joint": Counts(trainable=47_783_937, parameters=48_006_337, state_dict=48_112_577),
    "seqformer-r101-ytvis19-joint": Counts(trainable=66_723_841, parameters=66_946_241, state_dict=67_156_929),
    "seqformer-swin-l-ytvis19-joint": Counts(trainable=218_343_221, parameters=218_343_221, state_dict=218_840_885),
    "seqformer-tiny": Counts(trainable=3_125_918, parameters=3_125_918, state_dict=3_129_538),
    "ms-sts-r50-ytvis19": Counts(trainable=49_093_633, parameters=49_316_033, state_dict=49_422_273),
    "ms-sts-r101-ytvis19": Counts(trainable=68_033_537, parameters=68_255_937, state_dict=68_466_625),
    "ms-sts-swin-l-ytvis19": Counts(trainable=219_652_917, parameters=219_652_917, state_dict=220_150_581),
    "ms-sts-r50-ytvis19-without-adversary": Counts(trainable=49_093_633, parameters=49_316_033, state_dict=49_422_273),
    "ms-sts-r50-ytvis19-split": Counts(trainable=48_829_953, parameters=49_052_353, state_dict=49_158_593),
    "ms-sts-r50-ytvis19-baseline": Counts(trainable=47_783_937, parameters=48_006_337, state_dict=48_112_577),
    "ms-sts-r50-ytvis19-attention-after": Counts(trainable=48_833_025, parameters=49_055_425, state_dict=49_161_665),
    "ms-sts-r50-ytvis19-attention-before": Counts(trainable=48_833_025, parameters=49_055_425, state_dict=49_161_665),
    "ms-sts-r50-ytvis19-encoder-after": Counts(trainable=51_989_505, parameters=52_211_905, state_dict=52_318_145),
    "ms-sts-r50-ytvis19-encoder-before": Counts(trainable=51_989_505, parameters=52_211_905, state_dict=52_318_145),
    "ms-sts-r50-ytvis19-intra-only": Counts(trainable=48_381_441, parameters=48_603_841, state_dict=48_710_081),
    "ms-sts-r50-ytvis19-inter-only": Counts(trainable=48_232_449, parameters=48_454_849, state_dict=48_561_089),
    "ms-sts-r50-ytvis19-t2": Counts(trainable=49_093_633, parameters=49_316_033, state_dict=49_422_273),
    "ms-sts-r50-ytvis19-t3": Counts(trainable=49_093_633, parameters=49_316_033, state_dict=49_422_273),
    "ms-sts-r50-ytvis19-t4": Counts(trainable=49_093_633, parameters=49_316_033, state_dict=49_422_273),
    "ms-sts-r50-ytvis19-t36": Counts(trainable=49_093_633, parameters=49_316_033, state_dict=49_422_273),
    "ms-sts-r50-ytvis19-baseline-t2": Counts(trainable=47_783_937, parameters=48_006_337, state_dict=48_112_577),
    "ms-sts-r50-ytvis19-baseline-t3": Counts(trainable=47_783_937, parameters=48_006_337, state_dict=48_112_577),
    "ms-sts-r50-ytvis19-baseline-t4": Counts(trainable=47_783_937, parameters=48_006_337, state_dict=48_112_577),
    "ms-sts-r50-ytvis19-baseline-t36": Counts(trainable=47_783_937, parameters=48_006_337, state_dict=48_112_577),
    "ms-sts-tiny": Counts(trainable=3_238_526, parameters=3_238_526, state_dict=3_242_146),
    "taformer-r50-ytvis19": Counts(trainable=50_698_433, parameters=50_920_833, state_dict=51_027_073),
    "taformer-r101-ytvis19": Counts(trainable=69_638_337, parameters=69_860_737, state_dict=70_071_425),
    "taformer-swin-l-ytvis19": Counts(trainable=221_257_717, parameters=221_257_717, state_dict=221_755_381),
    "taformer-r50-ytvis21": Counts(trainable=50_698_433, parameters=50_920_833, state_dict=51_027_073),
    "taformer-r50-ytvis19-baseline": Counts(trainable=47_783_937, parameters=48_006_337, state_dict=48_112_577),
    "taformer-r50-ytvis19-encoder": Counts(trainable=50_303_169, parameters=50_525_569, state_dict=50_631_809),
    "taformer-r50-ytvis19-encoder-decoder": Counts(trainable=50_566_849, parameters=50_789_249, state_dict=50_895_489),
    "taformer-r50-ytvis19-fusion-add": Counts(trainable=50_152_449, parameters=50_374_849, state_dict=50_481_089),
    "taformer-r50-ytvis19-fusion-concat": Counts(trainable=50_940_417, parameters=51_162_817, state_dict=51_269_057),
    "taformer-r50-ytvis19-baseline-one-level": Counts(
        trainable=47_339_841, parameters=47_562_241, state_dict=47_668_481
    ),
    "taformer-r50-ytvis19-encoder-one-level": Counts(
        trainable=48_082_689, parameters=48_305_089, state_dict=48_411_329
    ),
    "taformer-r50-ytvis19-contrast-last": Counts(trainable=50_698_433, parameters=50_920_833, state_dict=51_027_073),
    "taformer-r50-ytvis19-points1": Counts(trainable=48_922_049, parameters=49_144_449, state_dict=49_250_689),
    "taformer-r50-ytvis19-points2": Counts(trainable=49_514_177, parameters=49_736_577, state_dict=49_842_817),
    "taformer-r50-ytvis19-points3": Counts(trainable=50_106_305, parameters=50_328_705, state_dict=50_434_945),
    "taformer-tiny": Counts(trainable=3_545_534, parameters=3_545_534, state_dict=3_549_154),
    "vistr-r50-ytvis19": Counts(trainable=56_893_344, parameters=57_115_744, state_dict=57_221_984),
    "vistr-r101-ytvis19": Counts(trainable=75_833_248, parameters=76_055_648, state_dict=76_266_336),
    "vistr-tiny": Counts(trainable=2_444_248, parameters=2_444_248, state_dict=2_447_868),
    "deformable-vistr-r50-ytvis19": Counts(trainable=57_484_704, parameters=57_707_104, state_dict=57_813_344),
    "deformable-vistr-r50-ytvis19-k16": Counts(trainable=56_301_984, parameters=56_524_384, state_dict=56_630_624),
    "deformable-vistr-tiny": Counts(trainable=2_537_368, parameters=2_537_368, state_dict=2_540_988),
    "tt-spn-twins-ytvis19": Counts(trainable=42_439_792, parameters=42_439_792, state_dict=42_439_792),
    "tt-spn-twins-ytvis19-mlp": Counts(trainable=42_494_992, parameters=42_494_992, state_dict=42_494_992),
    "tt-spn-tiny": Counts(trainable=2_237_200, parameters=2_237_200, state_dict=2_237_200),
    "tt-spn-tiny-mlp": Counts(trainable=2_210_896, parameters=2_210_896, state_dict=2_210_896),
    "seqformer-r50-ytvis21-joint": Counts(trainable=47_783_937, parameters=48_006_337, state_dict=48_112_577),
    "ms-sts-r50-ytvis19-joint": Counts(trainable=49_093_633, parameters=49_316_033, state_dict=49_422_273),
    "ms-sts-r101-ytvis19-joint": Counts(trainable=68_033_537, parameters=68_255_937, state_dict=68_466_625),
    "ms-sts-swin-l-ytvis19-joint": Counts(trainable=219_652_917, parameters=219_652_917, state_dict=220_150_581),
    "ms-sts-r50-ytvis19-consecutive": Counts(trainable=49_093_633, parameters=49_316_033, state_dict=49_422_273),
    "ms-sts-r50-ytvis19-without-decoder": Counts(trainable=48_829_953, parameters=49_052_353, state_dict=49_158_593),
    "ms-sts-r50-ytvis19-decoder": Counts(trainable=48_047_617, parameters=48_270_017, state_dict=48_376_257),
    "ms-sts-r50-ytvis19-adversary": Counts(trainable=47_783_937, parameters=48_006_337, state_dict=48_112_577),
    "ms-sts-r50-ytvis19-intra-paired": Counts(trainable=48_232_449, parameters=48_454_849, state_dict=48_561_089),
    "ms-sts-r50-ytvis19-intra-window": Counts(trainable=48_381_441, parameters=48_603_841, state_dict=48_710_081),
    "ms-sts-r50-ytvis19-inter-window": Counts(trainable=48_232_449, parameters=48_454_849, state_dict=48_561_089),
    "ms-sts-r50-ytvis19-t2-linked": Counts(trainable=49_093_633, parameters=49_316_033, state_dict=49_422_273),
    "ms-sts-r50-ytvis19-t3-linked": Counts(trainable=49_093_633, parameters=49_316_033, state_dict=49_422_273),
    "ms-sts-r50-ytvis19-t4-linked": Counts(trainable=49_093_633, parameters=49_316_033, state_dict=49_422_273),
    "ms-sts-r50-ytvis19-t5-linked": Counts(trainable=49_093_633, parameters=49_316_033, state_dict=49_422_273),
    "ms-sts-r50-ytvis19-baseline-t2-linked": Counts(trainable=47_783_937, parameters=48_006_337, state_dict=48_112_577),
    "ms-sts-r50-ytvis19-baseline-t3-linked": Counts(trainable=47_783_937, parameters=48_006_337, state_dict=48_112_577),
    "ms-sts-r50-ytvis19-baseline-t4-linked": Counts(trainable=47_783_937, parameters=48_006_337, state_dict=48_112_577),
    "ms-sts-r50-ytvis19-baseline-t5-linked": Counts(trainable=47_783_937, parameters=48_006_337, state_dict=48_112_577),
    "taformer-r50-coco": Counts(trainable=50_760_113, parameters=50_982_513, state_dict=51_088_753),
    "taformer-r50-ytvis19-consecutive": Counts(trainable=50_698_433, parameters=50_920_833, state_dict=51_027_073),
    "taformer-r50-ytvis19-raw-time": Counts(trainable=50_698_433, parameters=50_920_833, state_dict=51_027_073),
    "taformer-r50-ytvis19-baseline-one-level-tokens": Counts(
        trainable=42_175_617, parameters=42_398_017, state_dict=42_504_257
    ),
    "taformer-r50-ytvis19-encoder-one-level-tokens": Counts(
        trainable=42_918_465, parameters=43_140_865, state_dict=43_247_105
    ),
    "taformer-r50-ytvis19-contrast-sum": Counts(trainable=50_698_433, parameters=50_920_833, state_dict=51_027_073),
    "vistr-r50-ytvis21": Counts(trainable=56_893_344, parameters=57_115_744, state_dict=57_221_984),
    "tt-spn-twins-ytvis19-deep": Counts(trainable=55_049_328, parameters=55_049_328, state_dict=55_049_328),
    "tt-spn-twins-ytvis19-stated": Counts(trainable=42_439_792, parameters=42_439_792, state_dict=42_439_792),
    "tt-spn-twins-ytvis19-siren": Counts(trainable=42_439_792, parameters=42_439_792, state_dict=42_439_792),
    "tt-spn-r50-ytvis19": Counts(trainable=42_647_792, parameters=42_870_192, state_dict=42_976_432),
}
"""In our own layout."""
DISCRIMINATORS = {"ms_sts": 2_891_008}
"""Parameters of discriminators, which belong to the loss, at the published width."""
SCHEME = (
    r"(?P<model>seqformer|ms-sts|taformer|vistr|deformable-vistr|tt-spn)-"
    r"((?P<backbone>r18|r34|r50|r101|swin-[tsbl]|twins)-(?P<data>ytvis19|ytvis21|coco)|tiny)(?P<row>(-[a-z0-9]+)*)"
)
"""<model>-<backbone>-<dataset>[-<row>], or <model>-tiny for small ones."""


@pytest.fixture(params=sorted(RECIPES))
def recipe(request: pytest.FixtureRequest) -> Recipe:
    return RECIPES[request.param]()


def test_the_size_of_every_model_is_pinned() -> None:
    assert set(COUNTS) == set(RECIPES)


def test_the_model_builds_and_has_the_pinned_size(recipe: Recipe) -> None:
    with torch.device("meta"):
        assert own_counts(build_model(recipe.model)) == COUNTS[recipe.name]
        discriminator = sum(p.numel() for p in build_criterion(recipe.model).parameters())
    has_discriminator = getattr(recipe.model, "adversary", None) is not None
    assert (discriminator > 0) == has_discriminator
    if has_discriminator and recipe.model.transformer.width == 256:
        assert discriminator == DISCRIMINATORS[recipe.model.kind]


@pytest.mark.parametrize("name", [name for name in RECIPES if "-tiny" in name])
def test_the_tiny_models_have_at_most_3_8_million_parameters(name: str) -> None:
    assert COUNTS[name].parameters <= 3_800_000


def test_a_recipe_is_listed_under_its_own_name(recipe: Recipe) -> None:
    assert RECIPES[recipe.name]() == recipe


def test_the_name_says_model_and_backbone(recipe: Recipe) -> None:
    parts = re.fullmatch(SCHEME, recipe.name)
    assert parts, f"{recipe.name} does not follow the scheme of names"
    assert parts["model"].replace("-", "_") == recipe.model.kind
    backbone = recipe.model.backbone
    words = {SWIN_T: "swin-t", SWIN_S: "swin-s", SWIN_B: "swin-b", SWIN_L: "swin-l"}
    if parts["backbone"] and isinstance(backbone, ResNetConfig | SwinConfig):
        assert parts["backbone"] == (f"r{backbone.depth}" if isinstance(backbone, ResNetConfig) else words[backbone])


def test_a_recipe_survives_its_config_file(recipe: Recipe) -> None:
    assert from_dict(Recipe, json.loads(json.dumps(to_dict(recipe)))) == recipe


def test_every_recipe_says_what_it_is() -> None:
    assert [name for name, recipe in RECIPES.items() if not (recipe.__doc__ or "").strip()] == []
