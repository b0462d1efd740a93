"""What a session knows, as plain values that `torch.save` writes and `torch.load(weights_only=True)` reads.

Records become dictionaries of their attributes under the name of their class; only the classes of the table are made
again, so that a state from elsewhere runs nothing.
"""

from array import array
from collections import deque
from typing import Any

import numpy as np
import torch
from torch import Tensor

from maskreel.errors import DataError
from maskreel.geometry.rle import Rle
from maskreel.inference.clock import FrameClock
from maskreel.inference.doubles import Doubles
from maskreel.inference.finding import ShownFrame
from maskreel.inference.link import Linker
from maskreel.inference.memory import IdentityMemory, Sighting
from maskreel.inference.pending import PendingFrames, SeenObject
from maskreel.inference.postprocess import ClipDetections, FrameVotes
from maskreel.inference.tracks import ClassEvidence, MaskStore, Track, VideoTracks
from maskreel.inference.windows import SlidingWindows, WindowCutter
from maskreel.structures import FeatureMap, FrameFeatures

RECORDS: dict[str, type] = {
    record.__name__: record
    for record in (
        *(WindowCutter, SlidingWindows, ShownFrame, FrameFeatures, FeatureMap),
        *(Linker, IdentityMemory, Sighting, Doubles, ClipDetections, FrameVotes),
        *(PendingFrames, SeenObject, ClassEvidence, VideoTracks, Track, FrameClock),
    )
}


def pack(value: Any) -> Any:
    """A copy of a value in numbers, texts, lists, dictionaries with text keys, and tensors."""
    match value:
        case None | bool() | int() | float() | str():
            return value
        case Tensor():
            return value.detach().cpu().clone()
        case np.ndarray():
            return {"array": torch.from_numpy(np.array(value))}
        case np.generic():
            return value.item()
        case list():
            return [pack(item) for item in value]
        case tuple():
            return {"tuple": [pack(item) for item in value]}
        case deque():
            return {"deque": [pack(item) for item in value]}
        case array():
            return {"numbers": value.typecode, "values": torch.tensor(value.tolist(), dtype=torch.int64)}
        case dict():
            return {"keys": [pack(key) for key in value], "values": [pack(item) for item in value.values()]}
        case Rle():
            return {"rle": value.counts.decode("ascii"), "size": [value.height, value.width]}
        case MaskStore():
            return {"masks": value.content(), "size": [value.height, value.width]}
    assert type(value) is RECORDS.get(type(value).__name__), f"{type(value).__name__} is not in the table of states"
    fields = {name: pack(item) for name, item in vars(value).items() if name != "__orig_class__"}
    return {"record": type(value).__name__, "fields": fields}


def unpack(state: Any, device: torch.device) -> Any:
    """The value that `pack` made this of, its tensors of features on a device; DataError for anything else."""
    try:
        return _unpack(state, device)
    except (KeyError, TypeError, ValueError, AttributeError, RuntimeError) as error:
        raise DataError(f"state: damaged, or not made by state_dict ({error})") from error


def _unpack(state: Any, device: torch.device) -> Any:
    match state:
        case None | bool() | int() | float() | str():
            return state
        case Tensor():
            return state.clone()
        case list():
            return [_unpack(item, device) for item in state]
        case {"array": values}:
            return values.numpy().copy()
        case {"tuple": items}:
            return tuple(_unpack(item, device) for item in items)
        case {"deque": items}:
            return deque(_unpack(item, device) for item in items)
        case {"numbers": typecode, "values": values}:
            return array(typecode, values.tolist())
        case {"keys": keys, "values": values}:
            pairs = zip(keys, values, strict=True)
            return {_unpack(key, device): _unpack(item, device) for key, item in pairs}
        case {"rle": counts, "size": [height, width]}:
            return Rle(height, width, counts.encode("ascii"))
        case {"masks": content, "size": [height, width]}:
            return MaskStore.of(height, width, content)
        case {"record": name, "fields": fields}:
            record = RECORDS[name]
            made = object.__new__(record)
            for field, item in fields.items():
                value = _unpack(item, device)
                is_computed = record is FeatureMap or record is FrameFeatures
                object.__setattr__(
                    made, field, value.to(device) if is_computed and isinstance(value, Tensor) else value
                )
            return made
    raise DataError(f"state: a {type(state).__name__} where none is expected")
