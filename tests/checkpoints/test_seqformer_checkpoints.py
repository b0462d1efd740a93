"""Published checkpoints of SeqFormer and of the MS-STS repository."""

import pytest
import torch

from maskreel.checkpoints.conversion import convert_state, find_dialect
from maskreel.checkpoints.dialects.catalog import DIALECTS
from maskreel.checkpoints.dialects.seqformer import to_seqformer
from maskreel.errors import DataError
from tests.checkpoints.statedicts import hollow, made_up


@pytest.mark.golden
@pytest.mark.slow
@pytest.mark.parametrize("name", ["seqformer_resnet50", "mssts_resnet50"])
def test_a_checkpoint_comes_back_bit_by_bit(name: str) -> None:
    """Also unused logits, layers that nobody calls, and second names."""
    state = made_up(name)
    conversion = convert_state(state, find_dialect(state))
    layout = to_seqformer(conversion.build(), conversion.unused)
    assert layout.keys() == state.keys()
    assert all(torch.equal(layout[key].values.float(), values.float()) for key, values in state.items())


@pytest.mark.golden
def test_a_tensor_without_which_the_model_cannot_be_made_out_is_named() -> None:
    state = hollow("seqformer_resnet50")
    del state["detr.class_embed.0.weight"]
    with pytest.raises(DataError, match=r"it has no detr\.class_embed\.0\.weight, which SeqFormer, official has"):
        convert_state(state, DIALECTS["seqformer"])


@pytest.mark.golden
@pytest.mark.parametrize("kept", ["first", "second"])
def test_shared_tensors_may_be_stored_once_under_either_name(kept: str) -> None:
    state = hollow("mssts_resnet50")
    second = [name for name in state if name.startswith("detr.transformer.decoder.bbox_embed.")]
    for name in second:
        del state[name if kept == "first" else name.replace("transformer.decoder.", "")]
    conversion = convert_state(state, DIALECTS["mssts"])
    assert conversion.report.unexplained == ()
    assert conversion.config.queries.refinement == "iterative"


@pytest.mark.golden
def test_a_second_name_with_other_values_is_not_explained() -> None:
    state = hollow("mssts_resnet50")
    name = "detr.transformer.decoder.bbox_embed.1.layers.2.bias"
    state[name] = -torch.ones(4)
    (problem,) = convert_state(state, DIALECTS["mssts"]).report.unexplained
    assert problem.name == name
    assert problem.reason == "differs from detr.bbox_embed.1.layers.2.bias, whose second name it is"


@pytest.mark.golden
@pytest.mark.parametrize(
    ("logits", "num_classes", "ours", "first"),
    [(42, None, 40, 1), (40, None, 40, 0), (91, None, 90, 1), (26, None, 26, 0), (26, 25, 25, 1), (26, 24, 24, 1)],
)
def test_classes_are_the_rows_between_unused_logits(
    logits: int, num_classes: int | None, ours: int, first: int
) -> None:
    state = hollow("mssts_resnet50")
    for layer in range(3):
        state[f"detr.class_embed.{layer}.weight"] = torch.arange(logits)[:, None].expand(-1, 256).float()
        state[f"detr.class_embed.{layer}.bias"] = torch.arange(logits).float()
    conversion = convert_state(state, DIALECTS["mssts"], num_classes=num_classes)
    assert conversion.report.unexplained == ()
    assert conversion.config.num_classes == ours
    assert conversion.taken["classify.2.bias"].tolist() == [first + k for k in range(ours)]
    status = {entry.status for entry in conversion.report.entries if entry.group == "classify"}
    assert status == {"renamed" if logits == ours else "sliced"}


@pytest.mark.golden
def test_heads_are_not_visible_and_decide_the_number_of_points() -> None:
    state = hollow("mssts_resnet50")
    config = convert_state(state, DIALECTS["mssts"], heads=4).config.transformer
    assert (config.num_heads, config.num_points) == (4, 8)
    with pytest.raises(DataError, match=r"7 attention heads do not fit its 256 channels .*--heads"):
        convert_state(state, DIALECTS["mssts"], heads=7)
