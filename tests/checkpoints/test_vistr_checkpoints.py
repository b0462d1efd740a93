"""Published checkpoints of VisTR and of DETR."""

import pytest
import torch

from maskreel.checkpoints.conversion import convert_state
from maskreel.checkpoints.dialects.catalog import DIALECTS
from maskreel.checkpoints.dialects.vistr import to_vistr
from maskreel.errors import DataError
from tests.checkpoints.statedicts import hollow, made_up


@pytest.mark.golden
@pytest.mark.slow
def test_a_vistr_comes_back_bit_by_bit() -> None:
    state = made_up("vistr_resnet50")
    conversion = convert_state(state, DIALECTS["vistr"])
    layout = to_vistr(conversion.build(), conversion.unused)
    assert layout.keys() == state.keys()
    assert all(torch.equal(layout[key].values.float(), values.float()) for key, values in state.items())


@pytest.mark.golden
def test_a_tensor_of_another_shape_and_a_missing_one_are_not_explained() -> None:
    state = hollow("vistr_resnet50")
    state["mask_head.gn3.bias"] = torch.zeros(95)
    del state["vistr.transformer.decoder.norm.weight"]
    problems = {remark.name: remark.reason for remark in convert_state(state, DIALECTS["vistr"]).report.unexplained}
    assert problems.keys() == {"mask_head.gn3.bias", "vistr.transformer.decoder.norm.weight"}
    assert "has shape [95] instead of [96]" in problems["mask_head.gn3.bias"]
    assert "is missing" in problems["vistr.transformer.decoder.norm.weight"]


@pytest.mark.golden
def test_integers_do_not_stand_for_weights() -> None:
    state = hollow("detr_resnet50")
    state["input_proj.bias"] = torch.zeros(256, dtype=torch.int8)
    (problem,) = convert_state(state, DIALECTS["detr"]).report.unexplained
    assert problem.reason == "holds int8 instead of float32 for project.bias"


@pytest.mark.golden
def test_heads_that_do_not_divide_the_width_are_refused() -> None:
    with pytest.raises(DataError, match=r"7 attention heads do not fit its 384 channels; .*--heads"):
        convert_state(hollow("vistr_resnet50"), DIALECTS["vistr"], heads=7)
