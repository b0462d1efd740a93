"""From what a model says about one clip to the masklets that it found there.

Two rules, told apart by how a model votes. One vote per clip, SeqFormer's rule: the best (query, class) pairs by
sigmoid score, over all queries and classes together; one query may stand in several pairs. Masks are decoded once for
each query that is in a pair, and for no other. One vote per frame, VisTR's rule: every query is an object, its score is
the mean over frames of its best class probability, its class the one that most frames vote for (`FrameVotes`).
"""

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor

from maskreel.errors import DataError
from maskreel.geometry.enlarge import Axis, encode_enlarged
from maskreel.geometry.rle import Rle
from maskreel.kernels.threads import run_each
from maskreel.structures import ClipPrediction, select_masks

MASK_STRIDE = 4
"""Pixels of the network's input per cell of its masks."""
FRAME_THRESHOLD = 0.001
"""An object is absent from a frame that gives its best class less than this (models with a vote per frame)."""


@dataclass(frozen=True, kw_only=True, eq=False)
class FrameVotes:
    """What each object of a clip is taken for, frame by frame."""

    label: Int[np.ndarray, "n t"]
    """The most probable class."""
    score: Float[np.ndarray, "n t"]
    """Its probability."""

    def majority(self, num_classes: int) -> Int[np.ndarray, " n"]:
        """The class with most votes, the lowest of several."""
        return np.array([np.bincount(row, minlength=num_classes).argmax() for row in self.label], dtype=np.int64)


@dataclass(frozen=True, kw_only=True, eq=False)
class ClipDetections:
    """The objects found in one clip, best first."""

    probability: Float[np.ndarray, "n k"]
    """Of every class, each between 0 and 1 on its own."""
    is_chosen: Bool[np.ndarray, "n k"]
    """The (query, class) pairs that are among the best of the clip."""
    masks: list[list[Rle | None]]
    """Per object and frame at the source's size; None where the mask is empty."""
    coarse: Bool[Tensor, "n t h w"]
    """The same masks at the network's resolution, to compare clips with."""
    votes: FrameVotes | None = None
    """Where the model votes frame by frame: score and class follow from these, `probability` is their mean."""
    appearance: Float[np.ndarray, "n c"] | None = None
    """By which the objects are known again, where the model says it."""
    is_cut: bool = False
    """Whether more objects reached the score than are kept."""
    query: Int[np.ndarray, " n"] | None = None
    """Which of the model's queries found each object."""

    def __len__(self) -> int:
        return len(self.masks)


def clip_detections(
    prediction: ClipPrediction,
    *,
    clip: int = 0,
    top_k: int,
    max_objects: int | None = None,
    min_score: float = 0.0,
    source_size: tuple[int, int],
    network_size: tuple[int, int] | None,
    num_frames: int | None = None,
    select: Callable[[ClipPrediction, int, Int[Tensor, " n"]], Float[Tensor, "n t h w"]] = select_masks,
) -> ClipDetections:
    """Choose the objects of a clip and decode their masks at the source's size, (height, width).

    `top_k` counts the pairs of a model that votes per clip; with `max_objects` other queries that reach `min_score`
    come behind theirs, and all in all no more than so many. `network_size` is the size of the frames that the network
    was shown, without padding: masks lie over that part of the map alone. None stretches the whole map over the source,
    as the published script does (it never pads). `num_frames` leaves the frames behind it out, such as repetitions.
    `select` decodes the masks of chosen queries. Objects whose mask is empty in all frames are dropped.
    """
    class_logits, votes = prediction.final.class_logits[clip], None
    if prediction.votes == "per_frame":
        query, probability, votes = frame_votes(class_logits[:, :num_frames])
        is_chosen = np.eye(probability.shape[1], dtype=bool)[votes.majority(probability.shape[1])]
    else:
        query, probability, is_chosen = choose_pairs(class_logits, top_k, least=min_score if max_objects else None)
    best = probability.max(1) if votes is None else votes.score.mean(1)
    is_cut = max_objects is not None and bool((best[max_objects:] >= min_score).any())
    query, probability, is_chosen = query[:max_objects], probability[:max_objects], is_chosen[:max_objects]
    if votes is not None:
        votes = FrameVotes(label=votes.label[:max_objects], score=votes.score[:max_objects])
    logits = select(prediction, clip, query).float()[:, :num_frames]
    covered = None
    if network_size is not None:
        covered = (network_size[0] / MASK_STRIDE, network_size[1] / MASK_STRIDE)
        logits = logits[..., : int(np.ceil(covered[0])), : int(np.ceil(covered[1]))]
    logits = logits.cpu()
    if not bool(torch.isfinite(logits).all()):
        raise DataError("the model's masks are not numbers (NaN or infinite); are its weights damaged?")
    if votes is not None:
        is_absent = torch.from_numpy(votes.score < FRAME_THRESHOLD)
        logits = logits.masked_fill(is_absent[..., None, None], -1.0)
    masks = encode_masks(logits, source_size=source_size, covered=covered)
    seen = prediction.appearance
    kept = [n for n, frames in enumerate(masks) if any(mask is not None for mask in frames)]
    return ClipDetections(
        probability=probability[kept],
        is_chosen=is_chosen[kept],
        masks=[masks[n] for n in kept],
        coarse=logits[kept] > 0,
        votes=None if votes is None else FrameVotes(label=votes.label[kept], score=votes.score[kept]),
        appearance=None if seen is None else seen[clip, query][kept].float().cpu().numpy(),
        is_cut=is_cut,
        query=query[kept].cpu().numpy(),
    )


def frame_votes(
    class_logits: Float[Tensor, "q t k"],
) -> tuple[Int[Tensor, " q"], Float[np.ndarray, "q c"], FrameVotes]:
    """All queries, best first, their mean class probabilities over frames, and their votes; "no object" never wins."""
    probability = class_logits.float().softmax(-1)[..., :-1].cpu().numpy()
    if not np.isfinite(probability).all():
        raise DataError("the model's class scores are not numbers (NaN); are its weights damaged?")
    label, score = probability.argmax(-1), probability.max(-1)
    order = np.argsort(-score.mean(1), kind="stable")
    query = torch.from_numpy(order).to(class_logits.device)
    return query, probability[order].mean(1), FrameVotes(label=label[order], score=score[order])


def choose_pairs(
    class_logits: Float[Tensor, "q v k"], top_k: int, *, least: float | None = None
) -> tuple[Int[Tensor, " n"], Float[np.ndarray, "n k"], Bool[np.ndarray, "n k"]]:
    """Queries of the `top_k` best (query, class) pairs, their class probabilities, and which pairs were chosen.

    Queries come in the order of their best pair; equal scores in the order of query and class. Behind them come, where
    `least` is given, all other queries whose best score reaches it.
    """
    if class_logits.shape[1] != 1:
        raise ValueError(f"{class_logits.shape[1]} class votes per query where one per clip is expected")
    probability = class_logits[:, 0].float().sigmoid().cpu()
    if not bool(torch.isfinite(probability).all()):
        raise DataError("the model's class scores are not numbers (NaN); are its weights damaged?")
    num_classes = probability.shape[1]
    best = torch.sort(probability.flatten(), descending=True, stable=True).indices[:top_k]
    pair_query, pair_label = best // num_classes, best % num_classes
    queries = list(dict.fromkeys(pair_query.tolist()))
    if least is not None:
        score, order = torch.sort(probability.max(1).values, descending=True, stable=True)
        queries = list(dict.fromkeys([*queries, *order[score >= least].tolist()]))
    is_chosen = np.zeros((len(queries), num_classes), dtype=bool)
    for query, label in zip(pair_query.tolist(), pair_label.tolist(), strict=True):
        is_chosen[queries.index(query), label] = True
    chosen = torch.tensor(queries, dtype=torch.int64)
    return chosen.to(class_logits.device), probability[chosen].numpy(), is_chosen


def encode_masks(
    logits: Float[Tensor, "n t h w"], *, source_size: tuple[int, int], covered: tuple[float, float] | None = None
) -> list[list[Rle | None]]:
    """Interpolate logits bilinearly to the source's size and encode where they are positive; None where nowhere.

    `covered` is the part of the map, in rows and columns, that the source lies over; None is all of it.
    Masks are never enlarged as arrays, so memory stays flat; objects are shared among threads.
    """
    rows, columns = logits.shape[-2:]
    tall, wide = covered or (rows, columns)
    vertical = Axis.spanning(cells=rows, outputs=source_size[0], scale=tall / source_size[0])
    horizontal = Axis.spanning(cells=columns, outputs=source_size[1], scale=wide / source_size[1])

    def encode(frames: Float[np.ndarray, "t h w"]) -> list[Rle | None]:
        return [encode_enlarged(frame, vertical, horizontal) for frame in frames]

    return run_each(encode, list(logits.numpy()))
