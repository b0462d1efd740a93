"""What attention reads while a clip goes through a model, for those who want to look.

Layers tell it here, in the very numbers that they compute with. While nobody looks that costs one comparison.
"""

from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass

import torch
from einops import einsum, rearrange
from jaxtyping import Bool, Float
from torch import Tensor, nn

from maskreel.kernels.maps import Maps


@dataclass(frozen=True, kw_only=True, eq=False)
class SampledPoints:
    """Points that the queries of the first clip of a batch read."""

    locations: Float[Tensor, "q m p xy"]
    """In fractions of the padded maps, as `kernels.sampling.sample` takes them."""
    weights: Float[Tensor, "q m p"]
    maps: Maps


@dataclass(frozen=True, kw_only=True, eq=False)
class KeyWeights:
    """Queries and keys of the first clip of a batch, in groups that keep to themselves (g)."""

    query: Float[Tensor, "g q m d"]
    key: Float[Tensor, "g k m d"]
    is_seen: Bool[Tensor, "g k"]

    def weights(self, group: int, query: int) -> Float[Tensor, "m k"]:
        """How much each key counts for one query, by head; the fused kernels never write that down."""
        logits = einsum(self.query[group, query], self.key[group], "m d, k m d -> m k") * self.query.shape[-1] ** -0.5
        return logits.masked_fill(~self.is_seen[group], -torch.inf).softmax(-1)


Read = SampledPoints | KeyWeights
"""What one call of a layer read."""

_looked_at: dict[nn.Module, list[Read]] | None = None


@contextmanager
def recording(layers: Iterable[nn.Module]) -> Iterator[dict[nn.Module, list[Read]]]:
    """Keep what these layers read, call by call, while the block runs; for one model in one thread at a time."""
    global _looked_at
    if _looked_at is not None:
        raise RuntimeError("another recording is under way")
    _looked_at = {layer: [] for layer in layers}
    try:
        yield _looked_at
    finally:
        _looked_at = None


def record_points(
    layer: nn.Module, locations: Float[Tensor, "b q m p xy"], weights: Float[Tensor, "b q m p"], maps: Maps
) -> None:
    """What `layer` hands to `sample`."""
    if _looked_at is not None and layer in _looked_at:
        read = SampledPoints(locations=_kept(locations[0]), weights=_kept(weights[0]), maps=maps)
        _looked_at[layer].append(read)


def record_dense(
    layer: nn.Module,
    query: Float[Tensor, "b m q d"],
    key: Float[Tensor, "b m k d"],
    is_seen: Bool[Tensor, "b #m #q k"],
) -> None:
    """What `layer` hands to fused attention, whose mask is the same for all heads and queries."""
    if _looked_at is not None and layer in _looked_at:
        parts = (rearrange(x[:1], "g m n d -> g n m d") for x in (query, key))
        _looked_at[layer].append(
            KeyWeights(query=_kept(next(parts)), key=_kept(next(parts)), is_seen=is_seen[0, 0].cpu())
        )


def record_groups(
    layer: nn.Module,
    query: Float[Tensor, "b q s e"],
    key: Float[Tensor, "b k s e"],
    num_heads: int,
    is_seen: Bool[Tensor, "b s k"] | None,
) -> None:
    """What `layer` hands to `attend_short`."""
    if _looked_at is not None and layer in _looked_at:
        q, k = (_kept(rearrange(x[0], "n s (m d) -> s n m d", m=num_heads)) for x in (query, key))
        seen = torch.ones(k.shape[:2], dtype=torch.bool) if is_seen is None else is_seen[0].cpu()
        _looked_at[layer].append(KeyWeights(query=q, key=k, is_seen=seen))


def _kept(tensor: Tensor) -> Tensor:
    return tensor.detach().to("cpu", torch.float32, copy=True)
