"""What was found in a video in the forms of other tools: COCO with track ids, arrays, supervision."""

from collections.abc import Iterable, Sequence
from operator import index
from typing import TYPE_CHECKING, Any, NamedTuple, SupportsIndex

import numpy as np
from jaxtyping import Bool, Float, Int

from maskreel.errors import OptionError
from maskreel.geometry import rle
from maskreel.geometry.masklet import Masklet

if TYPE_CHECKING:
    from supervision import Detections  # pyright: ignore[reportMissingImports]

ARRAY_LIMIT = 2 * 10**9
"""Bytes of dense masks and boxes that are made at once."""


class MaskletArrays(NamedTuple):
    """Every masklet of a video in chosen frames, dense; an object that is not seen has an empty mask and a zero box."""

    masks: Bool[np.ndarray, "n t h w"]
    boxes: Float[np.ndarray, "n t 4"]
    """(x of the left side, y of the top, width, height) in pixels."""
    scores: Float[np.ndarray, " n"]
    labels: Int[np.ndarray, " n"]
    track_id: Int[np.ndarray, " n"]


def coco(
    masklets: Sequence[Masklet],
    *,
    source: str,
    size: tuple[int, int],
    timestamps: Sequence[float],
    classes: Sequence[tuple[int, str]],
) -> dict[str, Any]:
    """A COCO document of one video with track ids, all ids from 1; `size` is (height, width) in pixels.

    Every decoded frame is an image, in order; masks are run-length codes with text counts.
    """
    height, width = size
    images = [
        {
            "id": frame + 1,
            "file_name": f"{frame:06d}.jpg",
            "width": width,
            "height": height,
            "video_id": 1,
            "frame_index": frame,
            "time": time,
        }
        for frame, time in enumerate(timestamps)
    ]
    seen = (
        (frame, masklet, mask)
        for frame in range(len(timestamps))
        for masklet in masklets
        if (mask := masklet.segmentations[frame]) is not None
    )
    annotations = [
        {
            "id": number,
            "image_id": frame + 1,
            "video_id": 1,
            "track_id": masklet.track_id,
            "category_id": masklet.category_id,
            "score": masklet.score,
            "iscrowd": 0,
            "segmentation": mask.to_json(),
            "area": rle.area(mask),
            "bbox": list(rle.bounding_box(mask)),
        }
        for number, (frame, masklet, mask) in enumerate(seen, start=1)
    ]
    return {
        "videos": [{"id": 1, "name": source, "width": width, "height": height}],
        "images": images,
        "annotations": annotations,
        "categories": [{"id": category_id, "name": name} for category_id, name in classes],
    }


def arrays(
    masklets: Sequence[Masklet], *, size: tuple[int, int], num_frames: int, frames: Iterable[SupportsIndex] | None
) -> MaskletArrays:
    """Dense masks and boxes in the decoded frames `frames`, None for all; `size` is (height, width) in pixels.

    Raises OptionError for a frame that there is not, and above `ARRAY_LIMIT` bytes, before anything is made.
    """
    chosen = range(num_frames) if frames is None else tuple(map(index, frames))
    for frame in chosen:
        if not 0 <= frame < num_frames:
            raise OptionError(f"to_arrays: there is no frame {frame}; {num_frames} were decoded, counted from 0")
    shape = (len(masklets), len(chosen), *size)
    needed = len(masklets) * len(chosen) * (size[0] * size[1] + 4 * 8)
    if needed > ARRAY_LIMIT:
        raise OptionError(
            f"to_arrays: masks of {' x '.join(map(str, shape))} (objects, frames, rows, columns) take "
            f"{needed / 1e9:.1f} GB, more than {ARRAY_LIMIT / 1e9:.0f} GB; choose fewer frames, as in frames=range(10)"
        )
    masks, boxes = np.zeros(shape, dtype=bool), np.zeros((*shape[:2], 4))
    for n, masklet in enumerate(masklets):
        for t, frame in enumerate(chosen):
            mask = masklet.segmentations[frame]
            if mask is not None:
                masks[n, t] = rle.decode(mask)
                boxes[n, t] = rle.bounding_box(mask)
    return MaskletArrays(
        masks=masks,
        boxes=boxes,
        scores=np.array([masklet.score for masklet in masklets], dtype=np.float64),
        labels=np.array([masklet.label for masklet in masklets], dtype=np.int64),
        track_id=np.array([masklet.track_id for masklet in masklets], dtype=np.int64),
    )


def supervision_detections(masklets: Sequence[Masklet], frame: int, size: tuple[int, int]) -> "Detections":
    """Objects seen in one decoded frame; raises ImportError where the package supervision is not installed."""
    try:
        from supervision import Detections  # pyright: ignore[reportMissingImports]
    except ImportError as error:
        raise ImportError("to_supervision needs the package supervision: pip install supervision") from error
    seen = [(masklet, mask) for masklet in masklets if (mask := masklet.segmentations[frame]) is not None]
    boxes = np.array([rle.bounding_box(mask) for _, mask in seen], dtype=np.float64).reshape(-1, 4)
    return Detections(
        xyxy=np.concatenate((boxes[:, :2], boxes[:, :2] + boxes[:, 2:]), axis=1),
        mask=np.array([rle.decode(mask) for _, mask in seen], dtype=bool).reshape(-1, *size),
        confidence=np.array([masklet.score for masklet, _ in seen], dtype=np.float64),
        class_id=np.array([masklet.label for masklet, _ in seen], dtype=np.int64),
        tracker_id=np.array([masklet.track_id for masklet, _ in seen], dtype=np.int64),
    )
