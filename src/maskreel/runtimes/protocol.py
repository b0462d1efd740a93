"""What a predictor asks of whatever a model runs on."""

from typing import Protocol, runtime_checkable

import torch

from maskreel.structures import VideoModel


@runtime_checkable
class Runtime(VideoModel, Protocol):
    """The three calls of a model, which take frames from the CPU and give masks wherever they were computed."""

    device: torch.device
    """Where it computes."""
