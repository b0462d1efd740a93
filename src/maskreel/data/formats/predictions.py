"""What `predict` wrote, `<stem>.json`, as annotations to correct: tracks keep their ids, scores are dropped.

Frames are those of the video that the file names: the images of a folder as they are, frames of a video file written
out as PNG images. The classes are the model's, with their ids.
"""

import logging
from collections.abc import Sequence
from pathlib import Path

from PIL import Image

from maskreel.data.formats.annotations import AnnotatedVideo, Annotations, ReadOptions, numbers_of, tidy
from maskreel.data.formats.images import frame_names, images_by_stem
from maskreel.data.formats.look import Look
from maskreel.data.formats.shapes import odd_files
from maskreel.data.tracks import AnnotatedTrack, Category
from maskreel.errors import DataError, UsageError
from maskreel.files import is_beside_results
from maskreel.geometry.masklets import Masklets, is_masklet_file
from maskreel.video.sources import NamedSource, find_sources, open_video

logger = logging.getLogger(__name__)


def recognises(look: Look) -> bool:
    return look.document.has_list("masklets") and look.document.has_list("timestamps")


def read(given: Path, options: ReadOptions) -> Annotations:
    """A file, or all of a folder; the videos are looked for where the files say, or below `--images` by their stems."""
    if given.is_dir():
        every = [path for path in sorted(given.glob("[!.]*.json")) if not is_beside_results(path)]
        paths = [path for path in every if is_masklet_file(path)]
    else:
        paths = [given] if given.is_file() and is_masklet_file(given) else []
    if not paths:
        raise UsageError(f"{given}: no results of predict; it writes one <stem>.json for each video")
    videos, classes = [], ()
    for number, path in enumerate(paths, start=1):
        with odd_files(options, path, among=paths):
            masklets = Masklets.load(path)
            if classes and masklets.classes != classes:
                raise DataError(
                    f"{path}: other classes than in {paths[0].name}; convert results of one model at a time"
                )
            videos.append(_video(number, path, masklets, options))
            classes = masklets.classes
    categories = tuple(Category(id=number, name=name) for number, name in sorted(classes))
    return Annotations(categories=categories, videos=tuple(videos))


def _video(number: int, path: Path, masklets: Masklets, options: ReadOptions) -> AnnotatedVideo:
    skipped = {frame.index for frame in masklets.skipped}
    positions = [at for at in range(masklets.decoded + len(skipped)) if at not in skipped]
    images = _images(path, masklets, positions, options)
    own = [image.stem for image in images if image is not None]
    stems = own if len(set(own)) == len(positions) else [f"{at:06d}" for at in positions]
    return AnnotatedVideo(
        id=number,
        name=path.stem,
        width=masklets.width,
        height=masklets.height,
        frame_numbers=numbers_of(stems),
        file_names=frame_names(path.stem, stems, images),
        images=tuple(images),
        tracks=tuple(
            AnnotatedTrack(
                id=masklet.track_id,
                category_id=masklet.category_id,
                segmentations=tuple(map(tidy, masklet.segmentations)),
            )
            for masklet in masklets
        ),
    )


def _images(path: Path, masklets: Masklets, positions: list[int], options: ReadOptions) -> Sequence[Path | None]:
    """The image of each frame; none where no images are wanted, or the video is not there."""
    if options.images is not None:
        found = list((images_by_stem(options.images / path.stem) or images_by_stem(options.images)).values())
        if len(found) != masklets.decoded and len(found) <= max(positions, default=0):
            raise DataError(f"{options.images}: {len(found)} images for the {masklets.decoded} frames of {path}")
        return found if len(found) == masklets.decoded else [found[at] for at in positions]
    source = _source(path, masklets)
    if source is None or not positions:
        return [None] * len(positions)
    if len(source.paths) > 1 or Path(source.name).is_dir():
        found = [image for folder in {one.parent for one in source.paths} for image in images_by_stem(folder).values()]
        chosen = [image for image in found if image in set(source.paths)]
        if len(chosen) <= positions[-1]:
            raise DataError(f"{path}: {source.name} has {len(chosen)} images, frame {positions[-1]} was predicted")
        return [chosen[at] for at in positions]
    if options.scratch is None:
        return [None] * len(positions)
    return _extracted(source, path, masklets, options.scratch)


def _source(path: Path, masklets: Masklets) -> NamedSource | None:
    for name in (masklets.source, str(path.parent / masklets.source)):
        found = find_sources([name])
        if len(found) == 1 and not found[0].is_missing and found[0].paths:
            return found[0]
    logger.warning("%s: its video %s is not there; name a folder of its frames with --images", path, masklets.source)
    return None


def _extracted(source: NamedSource, path: Path, masklets: Masklets, scratch: Path) -> list[Path]:
    """Frames of a video file as PNG images in a folder that goes away after the conversion."""
    folder = scratch / "frames" / path.stem
    folder.mkdir(parents=True)
    images = []
    for frame in open_video(source.name):
        if len(images) == masklets.decoded:
            raise DataError(f"{path}: {source.name} has more than the {masklets.decoded} frames that were predicted")
        if frame.pixels.shape[:2] != (masklets.height, masklets.width):
            raise DataError(f"{path}: {source.name} has frames of another size than {masklets.width}x{masklets.height}")
        images.append(folder / f"{len(images):06d}.png")
        Image.fromarray(frame.pixels).save(images[-1], compress_level=1)
    if len(images) < masklets.decoded:
        raise DataError(f"{path}: {source.name} has {len(images)} frames, {masklets.decoded} were predicted")
    return images
