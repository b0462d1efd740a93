"""Every kind of file that people take away, read back with other means."""

import csv
import json
from pathlib import Path

import av
import numpy as np
import pytest
from PIL import Image

from maskreel.errors import DataError, OptionError
from maskreel.geometry import rle
from maskreel.geometry.masklets import Masklets
from maskreel.visualize.palette import track_colour
from maskreel.visualize.takeaways.kinds import TAKEAWAYS, Kind, chosen_kinds
from tests.visualize.takeaways.results import HEIGHT, TIMES, WIDTH, Clip, picture, result, without_objects


def taken(tmp_path: Path, kind: Kind, masklets: Masklets, source: Clip | None = None, video_id: int = 1) -> Path:
    takeaway = TAKEAWAYS[kind]
    path = tmp_path / f"clip{takeaway.ending}"
    if takeaway.is_folder:
        path.mkdir()
    takeaway.write(path, masklets, source or Clip(), video_id=video_id)
    return path


def test_masks_hold_track_ids_and_the_higher_score_lies_on_top(tmp_path: Path) -> None:
    folder = taken(tmp_path, "masks", result())
    assert sorted(path.name for path in folder.iterdir()) == ["000000.png", "000001.png", "000002.png"]
    image = Image.open(folder / "000000.png")
    ids = np.asarray(image)
    assert (image.mode, ids.shape) == ("P", (HEIGHT, WIDTH))
    assert (ids[0, 0], ids[3, 3], ids[10, 10], ids[19, 19]) == (0, 1, 2, 2)
    assert image.getpalette()[:9] == [0, 0, 0, *track_colour(1), *track_colour(2)]
    assert set(np.unique(np.asarray(Image.open(folder / "000001.png")))) == {0, 1}
    assert set(np.unique(np.asarray(Image.open(folder / "000002.png")))) == {0, 2, 5}


def test_many_tracks_make_grey_masks_of_16_bits(tmp_path: Path) -> None:
    folder = taken(tmp_path, "masks", result(first_id=254))
    ids = np.asarray(Image.open(folder / "000002.png"))
    assert ids.dtype == np.uint16
    assert set(np.unique(ids)) == {0, 255, 258}


def test_more_tracks_than_16_bits_are_refused(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="track id 70004"):
        taken(tmp_path, "masks", result(first_id=70000))


def test_cut_outs_are_the_object_and_nothing_else(tmp_path: Path) -> None:
    folder = taken(tmp_path, "cutouts", result())
    found = sorted(path.relative_to(folder).as_posix() for path in folder.rglob("*.png"))
    assert found == ["001/000000.png", "001/000001.png", "002/000000.png", "002/000002.png", "005/000002.png"]
    cut = np.asarray(Image.open(folder / "002/000002.png"))
    assert cut.shape == (23, 17, 4)
    assert (cut[..., 3] == 255).all()
    assert (cut[..., :3] == picture(2)[10:33, 30:47]).all()


def test_what_is_not_the_object_is_clear_and_black(tmp_path: Path) -> None:
    masklets = result()
    ring = np.zeros((HEIGHT, WIDTH), dtype=bool)
    ring[5:12, 6:15] = True
    ring[7:9, 8:11] = False
    object.__setattr__(masklets.masklets[0], "segmentations", (rle.encode(ring), None, None))
    cut = np.asarray(Image.open(taken(tmp_path, "cutouts", masklets) / "001/000000.png"))
    assert (cut[..., 3] == 255 * ring[5:12, 6:15]).all()
    assert (cut[2:4, 2:5] == 0).all()


def test_the_video_with_alpha_is_clear_outside_and_keeps_colours_and_times(tmp_path: Path) -> None:
    path = taken(tmp_path, "alpha", result())
    with av.open(str(path)) as container:
        stream = container.streams.video[0]
        assert (stream.width, stream.height, stream.metadata.get("alpha_mode")) == (WIDTH + 1, HEIGHT + 1, "1")
        decoder = av.CodecContext.create("libvpx-vp9", "r")
        frames = [frame for packet in container.demux(video=0) for frame in decoder.decode(packet)]
        times = [float(packet * stream.time_base) for packet in (frame.pts for frame in frames)]
    assert times == pytest.approx([time - TIMES[0] for time in TIMES], abs=1e-3)
    for index, frame in enumerate(frames):
        pixels = frame.to_ndarray(format="rgba")[:HEIGHT, :WIDTH].astype(int)
        inside = result().masks(index).any(axis=0)
        assert np.abs(pixels[..., 3] - 255 * inside).mean() < 6
        assert np.abs(pixels[inside][:, :3] - picture(index)[inside]).mean() < 10
        far = ~inside
        far[:, :-2] &= ~inside[:, 2:]
        assert pixels[HEIGHT - 3 :, 24:27, :3].max() < 16  # far from all objects: nothing of the source is left


def test_the_table_has_a_row_per_frame_and_object(tmp_path: Path) -> None:
    with taken(tmp_path, "csv", result()).open(newline="") as file:
        rows = list(csv.DictReader(file))
    assert [(row["frame"], row["track_id"]) for row in rows] == [
        *[("0", "1"), ("0", "2"), ("1", "1"), ("1", "5"), ("2", "2"), ("2", "5")]
    ]
    assert rows[4] == {
        "frame": "2",
        "time": "2.400000",
        "track_id": "2",
        "category_id": "3",
        "class": "a, b",
        "score": "0.9000",
        "x": "30",
        "y": "10",
        "width": "17",
        "height": "23",
        "area": str(17 * 23),
    }
    assert rows[3]["area"] == "0"


def test_youtube_vis_holds_the_entries_of_a_results_file(tmp_path: Path) -> None:
    entries = json.loads(taken(tmp_path, "youtube-vis", result(), video_id=9).read_text())
    assert entries == result().to_youtube_vis(9)


def test_coco_is_the_document_with_track_ids(tmp_path: Path) -> None:
    assert json.loads(taken(tmp_path, "coco", result()).read_text()) == result().to_coco()


@pytest.mark.parametrize("kind", TAKEAWAYS)
def test_a_video_without_objects_gives_files_that_are_whole(kind: Kind, tmp_path: Path) -> None:
    path = taken(tmp_path, kind, without_objects())
    assert path.exists()
    if kind in ("youtube-vis", "coco"):
        json.loads(path.read_text())
    if kind == "masks":
        assert len(list(path.iterdir())) == 3


@pytest.mark.parametrize("kind", [kind for kind, takeaway in TAKEAWAYS.items() if takeaway.needs_frames])
@pytest.mark.parametrize("source", [Clip(2), Clip(4), Clip(3, (HEIGHT + 2, WIDTH))], ids=["fewer", "more", "larger"])
def test_a_source_that_has_changed_is_refused(kind: Kind, source: Clip, tmp_path: Path) -> None:
    with pytest.raises(DataError, match="no longer has the frames"):
        taken(tmp_path, kind, result(), source)


def test_kinds_are_read_from_a_list_once_each() -> None:
    assert chosen_kinds(" csv, YouTube_VIS,csv ") == ("csv", "youtube-vis")
    assert chosen_kinds("") == ()


def test_an_unknown_kind_is_answered_with_the_near_one() -> None:
    with pytest.raises(OptionError, match=r"^save 'mask': did you mean 'masks'\?$"):
        chosen_kinds("csv,mask")
    with pytest.raises(OptionError, match=r"^save 'xml': choose from masks, cutouts"):
        chosen_kinds("xml")
