"""Words for annotation formats, in a module of their own: help lists them and must not wait for the formats."""

from typing import Literal

FormatName = Literal["youtube-vis", "coco", "coco-tracks", "mots-txt", "mots-png", "davis", "burst", "cvat", "labelme"]
PictureTransfer = Literal["link", "copy", "none"]
"""How pictures get into the target: as hard links (copies on another disk), as copies, not at all."""
