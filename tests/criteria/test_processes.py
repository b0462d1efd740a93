"""What processes that train together divide their losses by: the objects of all of them, shared out evenly."""

import json
import subprocess
import sys
from pathlib import Path

import pytest

SCRIPT = """
import json, os, sys
import torch
from maskreel.criteria.matching import MatchCosts
from maskreel.criteria.sequence_loss import SequenceLoss, SequenceLossWeights
from maskreel.criteria.sequence_matching import SequenceCosts
from maskreel.criteria.processes import mean_over_processes, padded_alike
from maskreel.criteria.set_loss import LossWeights, SetLoss
from maskreel.structures import ClipPrediction, LayerPrediction
from maskreel.training.distributed import world_mean
from tests.builders import clip_batch, clip_target

torch.set_num_threads(1)
rank = int(os.fork() == 0)
torch.distributed.init_process_group("gloo", init_method=f"file://{sys.argv[1]}", rank=rank, world_size=2)
cpu = torch.device("cpu")
found = {"counts": [mean_over_processes(mine, cpu) for mine in ((3, 4)[rank], (0, 1)[rank], (0, 0)[rank])]}


def losses(criterion, votes, clips):
    made = [torch.Generator().manual_seed(clip) for clip in clips]
    layer = LayerPrediction(
        class_logits=torch.stack([torch.randn(5, votes, 4, generator=each) for each in made]),
        boxes=torch.stack([0.2 + 0.6 * torch.rand(5, 3, 4, generator=each) for each in made]),
    )
    targets = [clip_target((32, 32), (3, 1)[clip], seed=clip) for clip in clips]
    return criterion(ClipPrediction(layers=(layer,)), targets, clip_batch([(32, 32)] * len(clips)))


for name, criterion, votes in (
    ("set", SetLoss(LossWeights(), MatchCosts()), 1),
    ("sequence", SequenceLoss(SequenceLossWeights(), SequenceCosts()), 3),
):
    found[name] = {key: world_mean(value).item() for key, value in losses(criterion, votes, [rank]).items()}
sizes = [(32, 64), (48, 40)]
own = padded_alike(clip_batch([sizes[rank]]))
whole = clip_batch(sizes)
found["padded"] = [
    own.frames.shape[-2:] == whole.frames.shape[-2:],
    torch.equal(own.is_padding, whole.is_padding[rank : rank + 1]),
    bool((own.frames[own.is_padding[:, :, None].expand_as(own.frames)] == 0).all()),
]
torch.distributed.destroy_process_group()
if rank:
    os._exit(0)
os.wait()
found["set_together"] = {k: v.item() for k, v in losses(SetLoss(LossWeights(), MatchCosts()), 1, [0, 1]).items()}
loss = SequenceLoss(SequenceLossWeights(), SequenceCosts())
found["sequence_together"] = {k: v.item() for k, v in losses(loss, 3, [0, 1]).items()}
print(json.dumps(found))
"""


@pytest.fixture(scope="module")
def found(tmp_path_factory: pytest.TempPathFactory) -> dict[str, dict[str, float]]:
    """Two processes with a clip each, and the same clips in one process."""
    store = tmp_path_factory.mktemp("processes") / "store"
    root = Path(__file__).parents[2]
    done = subprocess.run(
        [sys.executable, "-c", SCRIPT, str(store)], cwd=root, capture_output=True, text=True, timeout=300
    )
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout)


def test_the_number_of_objects_is_the_mean_over_processes_and_at_least_one(found: dict) -> None:
    assert found["counts"] == [3.5, 1.0, 1.0]


def test_clips_of_two_processes_are_padded_as_one_would_pad_both(found: dict) -> None:
    assert found["padded"] == [True, True, True]


@pytest.mark.parametrize(("loss", "names"), [("set", ("label", "box", "giou")), ("sequence", ("label", "box", "giou"))])
def test_the_mean_loss_of_two_processes_is_that_of_both_clips_in_one(
    found: dict, loss: str, names: tuple[str, ...]
) -> None:
    for name in names:
        assert found[loss][name] == pytest.approx(found[f"{loss}_together"][name], rel=1e-5), name
