"""Frames that a camera lost: noise, or the frame before once more."""

from dataclasses import dataclass

import numpy as np
from jaxtyping import Bool, UInt8

from maskreel.rendered.draws import Draws


@dataclass(frozen=True, kw_only=True)
class LostFrames:
    """Positions of lost frames, ascending."""

    noise: tuple[int, ...]
    frozen: tuple[int, ...]


def lose_frames(
    draws: Draws, share: float, frames: UInt8[np.ndarray, "t h w 3"], masks: Bool[np.ndarray, "n t h w"]
) -> LostFrames:
    """Replace `share` of the frames, in place: each noise or frozen, never the first.

    Behind noise the scene goes on, and so do its masks. A frozen frame shows the frame before it, noise included, with
    its masks.
    """
    last = len(frames) - 1
    chosen = sorted(1 + k for k in draws.order(last)[: min(round(share * len(frames)), last)]) if last else []
    noise = tuple(t for t in chosen if draws.chance(0.5))
    for t in chosen:
        if t in noise:
            frames[t] = np.floor(draws.block(*frames.shape[1:]) * 256).astype(np.uint8)
        else:
            frames[t], masks[:, t] = frames[t - 1], masks[:, t - 1]
    return LostFrames(noise=noise, frozen=tuple(t for t in chosen if t not in noise))
