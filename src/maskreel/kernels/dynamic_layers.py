"""The three layers of the dynamic mask head, whose weights every instance brings along (CondInst; SeqFormer, 3.4)."""

from collections.abc import Sequence

import torch
import torch.nn.functional as F
from einops import rearrange
from jaxtyping import Float
from torch import Tensor

from maskreel.kernels.backend import choose, inference_forms
from maskreel.kernels.compiled import Compiled
from maskreel.kernels.cpu import flat, numbers
from maskreel.kernels.jit.records import BLOCK, Counts, Layers
from maskreel.kernels.threads import run

_APPLY = Compiled(
    "maskreel.kernels.jit.dynamic_layers", "apply", f"{'float32* ' * 8}int64* int64* -> int64"
)  # fmt: skip
CHUNK = (2**17, 2**27)
"""Numbers of a hidden map that exist at a time: on a CPU what its second-level cache holds, on a GPU 512 MiB."""


def dynamic_layers(
    inputs: Float[Tensor, "t i s"],
    weights: Sequence[Float[Tensor, "n _ _"]],
    bias1: Float[Tensor, "t n o"],
    bias2: Float[Tensor, "n o"],
    bias3: Float[Tensor, "n 1"],
) -> Float[Tensor, "n t s"]:
    """Three linear layers over the same inputs for n instances, each with weights "o i", "o o" and "1 o"; ReLU between.

    Products of matrices, so many frames and instances at once that their hidden maps stay in the cache; without
    gradients, on the CPU in float32, a kernel of ours whose hidden maps are a few cells wide, eight times as fast.
    """
    tensors = (inputs, *weights, bias1, bias2, bias3)
    if choose("dynamic layers", *tensors, forms=inference_forms(*tensors)) == "cpu":
        return _on_cpu(inputs, weights, bias1, bias2, bias3)
    if torch.compiler.is_exporting():
        return _all_at_once(inputs, weights, bias1, bias2, bias3)
    # As many frames, then as many instances at a time as a hidden map has room for.
    room = CHUNK[inputs.device.type == "cuda"] // (bias1.shape[2] * inputs.shape[2])
    num_frames = max(1, min(room, len(inputs)))
    parts = [part.split(max(1, room // num_frames)) for part in (*weights, bias2, bias3)]
    masks = []
    for frames, frame_bias in zip(inputs.split(num_frames), bias1.split(num_frames), strict=True):
        biases1 = frame_bias.split(max(1, room // num_frames), 1)
        masks.append(torch.cat([_layers(frames, *part) for part in zip(*parts[:3], biases1, *parts[3:], strict=True)]))
    return torch.cat(masks, 1)


def _layers(
    frames: Float[Tensor, "t i s"],
    w1: Tensor,
    w2: Tensor,
    w3: Tensor,
    b1: Float[Tensor, "t n o"],
    b2: Tensor,
    b3: Tensor,
) -> Float[Tensor, "n t s"]:
    (t, n, hidden), cells = b1.shape, frames.shape[2]
    x = torch.baddbmm(b1.flatten(1)[..., None], w1.flatten(0, 1).expand(t, -1, -1), frames)
    x = F.relu(x, inplace=True).view(t * n, hidden, cells)
    x = F.relu(torch.baddbmm(b2.repeat(t, 1)[..., None], w2.repeat(t, 1, 1), x), inplace=True)
    x = torch.baddbmm(b3.repeat(t, 1)[..., None], w3.repeat(t, 1, 1), x)
    return x.view(t, n, cells).transpose(0, 1)


def _all_at_once(inputs: Tensor, weights: Sequence[Tensor], bias1: Tensor, bias2: Tensor, bias3: Tensor) -> Tensor:
    """As products whose counts of instances and frames a graph may leave open."""
    first, second, third = (weight[:, None] for weight in weights)
    x = F.relu(first @ inputs + rearrange(bias1, "t n o -> n t o 1"))
    x = F.relu(second @ x + rearrange(bias2, "n o -> n 1 o 1"))
    return (third @ x + rearrange(bias3, "n o -> n 1 o 1"))[:, :, 0]


def _on_cpu(inputs: Tensor, weights: Sequence[Tensor], bias1: Tensor, bias2: Tensor, bias3: Tensor) -> Tensor:
    frames, channels, cells = inputs.shape
    _, instances, hidden = bias1.shape
    output = torch.empty(instances, frames, cells)
    first, second, third = weights
    layers = Layers(*(flat(x) for x in (first, bias1, second, bias2, third, bias3)))
    counts = Counts(frames=frames, instances=instances, inputs=channels, hidden=hidden, cells=cells)
    run(_APPLY, frames * -(-cells // BLOCK), flat(inputs), *layers, flat(output), numbers(counts))
    return output
