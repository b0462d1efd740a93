"""The kinds of problems that a data set can have, and the list that collects them."""

from dataclasses import dataclass


@dataclass(frozen=True, kw_only=True, slots=True)
class Kind:
    """What is known of a kind of problem."""

    about: str
    is_note: bool = False
    """Worth knowing, but no fault: training and scoring work all the same."""
    is_repaired: bool = False
    """Whether a repair loses nothing that was right."""


KINDS = {
    # the file
    "file": Kind(about="the annotation file cannot be read, or is no JSON"),
    "section": Kind(about="videos, categories or annotations are missing or no list"),
    "held-back": Kind(about="annotations are null, as in public validation files", is_note=True),
    "other-format": Kind(about="a JSON file that is not in the YouTube-VIS layout; not checked", is_note=True),
    "content": Kind(about="something in the annotations cannot be read"),
    "doubt": Kind(about="read, but not as a matter of course", is_note=True),
    "no-objects": Kind(about="no object but crowds and empty tracks: nothing to learn from or to score against"),
    "split-shared": Kind(about="a video of one split is in another one too", is_note=True),
    # classes
    "category-record": Kind(about="a category without a whole id and a name"),
    "category-id-repeated": Kind(about="two categories with one id"),
    "category-name-repeated": Kind(about="two categories with one name"),
    "category-id-gap": Kind(about="category ids are not 1, 2, 3, ...", is_note=True),
    "category-unused": Kind(about="a class without instances", is_note=True),
    # videos
    "video-record": Kind(about="a video without whole id, width, height and file_names"),
    "video-id-repeated": Kind(about="two videos with one id"),
    "video-length": Kind(about="length differs from the number of file_names", is_repaired=True),
    "video-unlabelled": Kind(about="a video without any track", is_note=True),
    "path-leaves-root": Kind(about="a file name that leads out of the folder of frames"),
    "frame-repeated": Kind(about="one file is listed as several frames"),
    "frame-hole": Kind(about="a frame's number is left out whose image is there: its annotation file is gone"),
    "frame-gap": Kind(about="the numbers of frames are in unequal steps", is_note=True),
    "frame-order": Kind(about="frames are not listed in the order of their numbers, as after sorting by letters"),
    # frames on disk
    "frames-folder": Kind(about="there is no folder of frames"),
    "frame-missing": Kind(about="a listed frame does not exist"),
    "frame-renamed": Kind(about="a listed frame exists under another name", is_repaired=True),
    "frame-unreadable": Kind(about="a frame cannot be decoded"),
    "frame-size": Kind(about="a frame is not of its video's size"),
    "frame-link": Kind(about="a frame is a link out of the data set"),
    "frame-unlisted": Kind(about="images beside the frames that no video lists", is_note=True),
    # tracks
    "annotation-record": Kind(about="an annotation without whole ids and a list of segmentations"),
    "annotation-id-repeated": Kind(about="two annotations with one id", is_repaired=True),
    "annotation-id-zero": Kind(about="an annotation id below 1, which evaluators take for none", is_repaired=True),
    "annotation-video": Kind(about="a track of a video that is not in the file"),
    "annotation-category": Kind(about="a track of a class that is not in the file"),
    "crowd-missing": Kind(about="iscrowd is missing, on which evaluators fail", is_repaired=True),
    "crowd-flag": Kind(about="iscrowd is neither 0 nor 1"),
    "crowd-type": Kind(
        about="iscrowd is no number; read as it is meant, but not by all evaluators", is_note=True, is_repaired=True
    ),
    "list-length": Kind(about="a list of a track has another length than its video"),
    "track-empty": Kind(about="a track without a single pixel", is_repaired=True),
    "track-repeated": Kind(about="two tracks of a class with the same masks"),
    # masks
    "mask-size": Kind(about="a mask of another size than its video"),
    "mask-content": Kind(about="a mask that cannot be decoded"),
    "mask-empty": Kind(about="a mask without pixels in place of null", is_repaired=True),
    "box-missing": Kind(about="boxes are missing where there are masks", is_repaired=True),
    "box-mismatch": Kind(about="a box is not the one around its mask", is_repaired=True),
    "area-missing": Kind(about="areas are missing where there are masks", is_repaired=True),
    "area-mismatch": Kind(about="an area is not that of its mask", is_repaired=True),
    "box-without-mask": Kind(about="a box or an area in a frame without a mask"),
}


@dataclass(frozen=True, kw_only=True, slots=True)
class Problem:
    """One finding: what, where in the file, and the value that shows it."""

    kind: str
    where: str
    message: str

    @property
    def is_note(self) -> bool:
        return KINDS[self.kind].is_note

    @property
    def is_repaired(self) -> bool:
        return KINDS[self.kind].is_repaired


class Problems(list[Problem]):
    """Findings in the order in which they were made."""

    def note(self, kind: str, where: str, message: str) -> None:
        assert kind in KINDS, f"{kind} is no kind of problem"
        self.append(Problem(kind=kind, where=where, message=message))

    @property
    def faults(self) -> list[Problem]:
        """All but notes."""
        return [problem for problem in self if not problem.is_note]
