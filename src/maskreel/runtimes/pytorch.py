"""PyTorch as what a model runs on, in the form in which a trained model is fastest.

Norms are folded into convolutions, channels come last, and on demand it computes in bfloat16. In float32 the outputs
equal those of the model as it was trained up to rounding: within 1e-3 of the largest value of each output for any
model, within 1e-5 for SeqFormer R50. In bfloat16, whose numbers have eight bits, they are within a tenth; sampling
positions and weights and the dynamic mask layers are still computed in float32.
"""

import copy

import torch
from jaxtyping import Float, Int
from torch import Tensor, nn

from maskreel.nn.backbones.resnet import ResNet
from maskreel.runtimes.precision import Precision
from maskreel.structures import ClipBatch, ClipPrediction, FrameFeatures, VideoModel


class PyTorchRuntime:
    """The three calls of a model, without gradients, on its device and in its number format."""

    def __init__(
        self, model: nn.Module, *, device: torch.device | str = "cpu", precision: Precision = "float32"
    ) -> None:
        """Takes a form of the model of its own (`inference_form`), with the weights of this moment."""
        form = inference_form(model.to(device))
        assert isinstance(form, VideoModel), f"{type(model).__name__} does not have the three calls of VideoModel"
        self.model = form
        self.device = torch.device(device)
        self._precision: Precision = precision

    @torch.inference_mode()
    def frame_features(self, frames: ClipBatch) -> FrameFeatures:
        with self._arithmetic():
            return self.model.frame_features(frames.to(self.device))

    @torch.inference_mode()
    def clip(self, features: FrameFeatures) -> ClipPrediction:
        with self._arithmetic():
            return self.model.clip(features)

    @torch.inference_mode()
    def masks(self, prediction: ClipPrediction, clip: int, queries: Int[Tensor, " n"]) -> Float[Tensor, "n t h w"]:
        with self._arithmetic():
            return self.model.masks(prediction, clip, queries)

    def _arithmetic(self) -> torch.autocast:
        return number_format(self._precision, self.device)


def inference_form(model: nn.Module) -> nn.Module:
    """A copy in evaluation mode that shares every unchanged tensor; the model itself stays as it is, but for its mode.

    Running statistics and weights of folded layers are those of this moment: take a new form after a training step.
    """
    shared = {id(tensor): tensor for tensor in (*model.parameters(), *model.buffers())}
    form = copy.deepcopy(model.eval(), shared)
    for module in form.modules():
        if isinstance(module, ResNet):
            module.fold_norms()
    for module in form.modules():
        if isinstance(module, nn.Conv2d):
            weight = module.weight.detach().to(memory_format=torch.channels_last)
            module.weight = nn.Parameter(weight, requires_grad=False)
    return form


def number_format(precision: Precision, device: torch.device) -> torch.autocast:
    """Context in which a model runs and its masks are decoded."""
    return torch.autocast(device.type, dtype=torch.bfloat16, enabled=precision == "bf16")
