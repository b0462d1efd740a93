"""Every model under torch.compile and torch.export: one graph, the same numbers.

Each in a process of its own, because run-time type checks of shapes cannot be traced.
"""

import os
import subprocess
import sys

import pytest

from maskreel.models.catalog import CATALOG
from tests.checkpoints.tables import TINY

SCRIPT = """
import sys
from dataclasses import replace

import torch

from maskreel.models.folder import build_model
from maskreel.structures import ClipBatch
from tests.builders import clip_batch
from tests.checkpoints.tables import TINY

torch.manual_seed(0)
config = TINY[sys.argv[1]]
config = replace(config, transformer=replace(config.transformer, encoder_layers=1, decoder_layers=2))
model, clip = build_model(config).eval(), clip_batch(((64, 96), (50, 70)))


def outputs(prediction):
    queries = torch.arange(3)
    return prediction.final.class_logits, prediction.final.boxes, prediction.final.masks.select(1, queries)


class Exported(torch.nn.Module):
    def __init__(self):
        super().__init__()
        self.model = model

    def forward(self, frames, is_padding):
        final = self.model(ClipBatch(frames=frames, is_padding=is_padding)).final
        return final.class_logits, final.boxes


with torch.no_grad():
    expected = outputs(model(clip))
    compiled = torch.compile(model, fullgraph=True, backend="aot_eager")
    for ours, theirs in zip(outputs(compiled(clip)), expected, strict=True):
        torch.testing.assert_close(ours, theirs)
    program = torch.export.export(Exported(), (clip.frames, clip.is_padding))
    for ours, theirs in zip(program.module()(clip.frames, clip.is_padding), expected[:2], strict=True):
        torch.testing.assert_close(ours, theirs)
print(sum(node.target is torch.ops.maskreel.sample.default for node in program.graph.nodes))
"""

SAMPLES = {
    "seqformer": True,
    "ms_sts": True,
    "taformer": True,
    "deformable_vistr": True,
    "vistr": False,
    "tt_spn": False,
}
"""Whether the forward pass calls the primitive. The two dense models sample in their mask head alone, which runs when
masks are asked for."""


def test_every_model_is_listed() -> None:
    assert set(SAMPLES) == set(CATALOG) <= set(TINY)


@pytest.mark.nightly
@pytest.mark.parametrize("name", list(SAMPLES))
def test_compilation_and_export_see_one_graph_and_give_the_same_numbers(name: str) -> None:
    environment = os.environ | {"JAXTYPING_DISABLE": "1"}
    done = subprocess.run(
        [sys.executable, "-c", SCRIPT, name], capture_output=True, text=True, env=environment, timeout=900
    )
    assert done.returncode == 0, done.stderr[-3000:]
    assert (int(done.stdout.split()[-1]) > 0) == SAMPLES[name]
