"""A part of a train file held out for validation: every class keeps its share, and the choice is always the same."""

import hashlib
from collections import Counter
from collections.abc import Mapping
from typing import Any


def held_out(classes: Mapping[int, Counter[int]], *, share: float, seed: int) -> set[int]:
    """Ids of the videos to hold out, of `classes`: the tracks per class in each video.

    Greedy, rarest class first (Sechidis et al. 2011): each video goes where the class lacks most of its share. A class
    with one video stays in training. Neither the order of the file nor anything but the seed changes the choice.
    """
    order = sorted(classes, key=lambda video: hashlib.sha256(f"{seed} {video}".encode()).digest())
    lacking = Counter({label: share * count for label, count in sum(classes.values(), Counter()).items()})
    spread = Counter(label for counts in classes.values() for label in counts)
    wanted = round(share * len(classes))
    chosen: set[int] = set()
    decided: set[int] = set()
    for label in sorted(spread, key=lambda label: (spread[label], label)):
        for video in order:
            if video in decided or not classes[video][label]:
                continue
            decided.add(video)
            is_wanted = lacking[label] >= classes[video][label] / 2 and len(chosen) < wanted
            if is_wanted and all(spread[other] > 1 for other in classes[video]):
                chosen.add(video)
                lacking.subtract(classes[video])
    left = [video for video in order if video not in chosen and all(spread[label] > 1 for label in classes[video])]
    # Videos without tracks, and roundings, fill up the number.
    left.sort(key=lambda video: sum(max(0.0, count - lacking[label]) for label, count in classes[video].items()))
    return chosen | set(left[: wanted - len(chosen)])


def divided(document: Mapping[str, Any], chosen: set[int]) -> tuple[dict[str, Any], dict[str, Any]]:
    """The file without the chosen videos, and with them alone; ids, classes and everything else stay."""
    parts = []
    for is_held_out in (False, True):
        videos = [video for video in document["videos"] if (video["id"] in chosen) == is_held_out]
        tracks = [track for track in document["annotations"] if (track["video_id"] in chosen) == is_held_out]
        parts.append({**document, "videos": videos, "annotations": tracks})
    return parts[0], parts[1]


def classes_by_video(document: Mapping[str, Any]) -> dict[int, Counter[int]]:
    """Tracks per class id of each video."""
    classes: dict[int, Counter[int]] = {video["id"]: Counter() for video in document["videos"]}
    for track in document["annotations"]:
        classes[track["video_id"]][track["category_id"]] += 1
    return classes
