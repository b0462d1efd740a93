"""Conversion of whole folders: images, what is refused, what stands where something went wrong, damaged files."""

import json
import logging
import shutil
from contextlib import suppress
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from maskreel.data.formats.annotations import ReadOptions
from maskreel.data.formats.catalog import FORMATS, FormatName
from maskreel.data.formats.convert import convert
from maskreel.data.youtube_vis import YouTubeVIS
from maskreel.errors import DataError, UsageError
from maskreel.left_out import LeftOut
from maskreel.outputs import Outputs
from tests.builders import shared_path, write_youtube_vis

WRITTEN: list[FormatName] = [name for name, one in FORMATS.items() if one.write is not None]


@pytest.fixture
def own(tmp_path: Path) -> Path:
    """Two videos (ids 1 and 2) of two classes, disjoint objects."""
    document = write_youtube_vis(tmp_path / "own", num_frames=3, size=(16, 24))
    text = json.dumps(document).replace('"id": 11', '"id": 1').replace('"id": 12', '"id": 2')
    text = text.replace('"video_id": 11', '"video_id": 1').replace('"video_id": 12', '"video_id": 2')
    text = text.replace('"id": 3, "name"', '"id": 1, "name"').replace('"id": 7, "name"', '"id": 2, "name"')
    text = text.replace('"category_id": 3', '"category_id": 1').replace('"category_id": 7', '"category_id": 2')
    (tmp_path / "own/train.json").write_text(text)
    return tmp_path / "own"


def there_and_back(own: Path, target: Path, name: FormatName, **options: Any) -> Path:
    target.mkdir(exist_ok=True)
    convert(own, target / "there", read_as="youtube-vis", write_as=name, options=ReadOptions(), **options)
    convert(target / "there", target / "back", read_as=name, write_as="youtube-vis", options=ReadOptions(), **options)
    return target / "back"


@pytest.mark.parametrize("name", WRITTEN)
def test_pictures_travel_and_the_result_can_be_trained_on(own: Path, tmp_path: Path, name: FormatName) -> None:
    is_poor = name in ("mots-txt", "mots-png", "davis")
    back = YouTubeVIS.load(there_and_back(own, tmp_path, name, is_loss_allowed=is_poor), "train")
    before = YouTubeVIS.load(own, "train")
    for index in range(2):
        assert (back.decode_frames(index, [0, 1, 2]) == before.decode_frames(index, [0, 1, 2])).all()
        assert (back.clip_target(index, [0, 1, 2]).masks == before.clip_target(index, [0, 1, 2]).masks).all()
        assert [track.id for track in back.tracks(index)] == [track.id for track in before.tracks(index)]


@pytest.mark.parametrize(("name", "lost"), [("mots-txt", "classes"), ("mots-png", "classes"), ("davis", "classes")])
def test_what_a_format_cannot_keep_is_refused_by_name_or_warned_of(
    own: Path, tmp_path: Path, name: FormatName, lost: str, caplog: pytest.LogCaptureFixture
) -> None:
    with pytest.raises(DataError, match=rf"{name} cannot keep {lost} 'line' \(1\), 'block' \(2\).*--allow-loss"):
        there_and_back(own, tmp_path, name)
    assert not (tmp_path / "there").exists()
    caplog.set_level(logging.WARNING)
    there_and_back(own, tmp_path, name, is_loss_allowed=True)
    assert f"lost on the way: {lost} 'line' (1)" in caplog.text


def test_frames_in_unequal_steps_lose_their_times_but_not_their_pictures(own: Path, tmp_path: Path) -> None:
    document = json.loads((own / "train.json").read_text())
    document["videos"][0]["frame_numbers"] = [0, 14, 33]
    (own / "train.json").write_text(json.dumps(document))
    with pytest.raises(DataError, match="cvat cannot keep frame times of videos video0"):
        there_and_back(own, tmp_path, "cvat")
    back = YouTubeVIS.load(there_and_back(own, tmp_path, "cvat", is_loss_allowed=True), "train")
    assert (back.decode_frames(0, [2]) == YouTubeVIS.load(own, "train").decode_frames(0, [2])).all()
    for number, name in enumerate(("labelme", "burst", "coco-tracks")):
        found = FORMATS["youtube-vis"].read(there_and_back(own, tmp_path / f"{number}", name), ReadOptions())
        assert found.videos[0].frame_numbers == (0, 14, 33)


def test_links_share_the_file_and_copies_do_not(own: Path, tmp_path: Path) -> None:
    image = "train/JPEGImages/video0/00001.png"
    for images, is_shared in (("link", True), ("copy", False)):
        target = tmp_path / images
        convert(own, target, read_as="youtube-vis", write_as="youtube-vis", options=ReadOptions(), images=images)
        assert (target / image).samefile(own / image) == is_shared
        assert (target / image).read_bytes() == (own / image).read_bytes()


def test_missing_pictures_are_asked_for_and_can_be_named_or_left_out(own: Path, tmp_path: Path) -> None:
    shutil.move(own / "train/JPEGImages", tmp_path / "elsewhere")
    with pytest.raises(UsageError, match=r"the image of frame 0 of video 'video0' was not found.*--images DIR"):
        there_and_back(own, tmp_path, "cvat")
    assert not (tmp_path / "there").exists()
    options = ReadOptions(images=tmp_path / "elsewhere")
    convert(own, tmp_path / "named", read_as="youtube-vis", write_as="labelme", options=options)
    assert (tmp_path / "named/video1/00002.png").is_file()
    back = there_and_back(own, tmp_path, "cvat", images="none")
    assert (back / "train.json").is_file()
    assert not (back / "train").exists()


def test_a_second_split_goes_into_the_same_folder_and_only_what_is_ours_is_replaced(own: Path, tmp_path: Path) -> None:
    shutil.copy(own / "train.json", own / "half.json")
    for split in ("train", "half"):
        options = ReadOptions(split=split)
        convert(own, tmp_path / "set", read_as="youtube-vis", write_as="youtube-vis", options=options)
    before = sorted(path.name for path in (tmp_path / "set").iterdir())
    assert before == ["half", "half.json", "train", "train.json", "written.json"]

    def again(*, overwrite: bool = False) -> None:
        options = ReadOptions(split="half")
        convert(
            own,
            tmp_path / "set",
            read_as="youtube-vis",
            write_as="youtube-vis",
            options=options,
            outputs=Outputs(overwrite=overwrite),
        )

    again()
    assert sorted(path.name for path in (tmp_path / "set").iterdir()) == before
    written = tmp_path / "set" / "half.json"
    content = written.read_text()
    written.write_text(content + " ")
    with pytest.raises(UsageError, match=r"half\.json: exists, and is not as maskreel wrote it"):
        again()
    assert written.read_text() == content + " "
    again(overwrite=True)
    assert written.read_text() == content
    (tmp_path / "set/half/mine.txt").write_text("mine")
    with pytest.raises(UsageError, match=r"mine\.txt: exists and is no part of this conversion"):
        again(overwrite=True)


def test_two_frames_of_one_name_are_refused_and_no_picture_is_harmed(own: Path, tmp_path: Path) -> None:
    text = (own / "train.json").read_text()
    (own / "train.json").write_text(text.replace("video1/00001.png", "video1/00000.png"))
    before = (own / "train/JPEGImages/video1/00000.png").read_bytes()
    with pytest.raises(DataError, match=r"its image 00000\.png has the name of another"):
        there_and_back(own, tmp_path, "youtube-vis")
    assert (own / "train/JPEGImages/video1/00000.png").read_bytes() == before


def test_hidden_truth_and_an_empty_set_are_nothing_to_convert(own: Path, tmp_path: Path) -> None:
    document = json.loads((own / "train.json").read_text())
    for change, message in (({"annotations": None}, "nothing to convert"), ({"videos": [], "annotations": []}, "no")):
        (own / "train.json").write_text(json.dumps({**document, **change}))
        with pytest.raises(DataError, match=message):
            there_and_back(own, tmp_path, "cvat")


def named(own: Path, *folders: str) -> None:
    """Give the two videos these folders."""
    text = (own / "train.json").read_text()
    for number, folder in enumerate(folders):
        place = own / "train/JPEGImages" / folder
        place.parent.mkdir(parents=True, exist_ok=True)
        (own / f"train/JPEGImages/video{number}").rename(place)
        text = text.replace(f"video{number}/", f"{folder}/")
    (own / "train.json").write_text(text)


@pytest.mark.parametrize("name", WRITTEN)
def test_videos_whose_names_meet_are_told_apart_and_still_compared(
    own: Path, tmp_path: Path, name: FormatName, caplog: pytest.LogCaptureFixture
) -> None:
    named(own, "a/clip", "a__clip")
    back = YouTubeVIS.load(there_and_back(own, tmp_path, name, is_loss_allowed=True), "train")
    before = YouTubeVIS.load(own, "train")
    found = {int(back.decode_frames(index, [0])[0, 0, 0, 0]): index for index in range(2)}
    for index in range(2):
        twin = found[int(before.decode_frames(index, [0])[0, 0, 0, 0])]
        assert (back.decode_frames(twin, [0, 1, 2]) == before.decode_frames(index, [0, 1, 2])).all()
        assert (back.clip_target(twin, [0, 1, 2]).masks == before.clip_target(index, [0, 1, 2]).masks).all()
    is_renamed = FORMATS[name].folders != "nested"
    assert ("'a__clip' is now named 'a__clip_2'" in caplog.text) == is_renamed


def test_what_else_is_lost_of_a_renamed_video_is_not_hidden(own: Path, tmp_path: Path) -> None:
    named(own, "a/clip", "a__clip")
    document = json.loads((own / "train.json").read_text())
    document["annotations"][1]["segmentations"] = document["annotations"][0]["segmentations"]
    (own / "train.json").write_text(json.dumps(document))
    with pytest.raises(DataError, match=r"davis cannot keep.*; tracks 1 of a__clip;"):
        there_and_back(own, tmp_path, "davis")


def test_stills_of_one_folder_keep_names_of_their_own(own: Path) -> None:
    document = json.loads((own / "train.json").read_text())
    for record in document["videos"]:
        record |= {"file_names": [f"all/{record['id']}.png"], "length": 1}
    document["annotations"] = []
    (own / "train.json").write_text(json.dumps(document))
    assert [video.name for video in FORMATS["youtube-vis"].read(own, ReadOptions()).videos] == ["all/1", "all/2"]


# COCO images


def coco_document() -> dict[str, Any]:
    """Three images: a person and a crowd of cars; a mouse alone; a crowd of people alone."""
    square = [[1, 1, 5, 1, 5, 4, 1, 4]]
    crowd = {"size": [6, 8], "counts": [4, 3, 41]}
    annotations = [
        {"id": 31, "image_id": 5, "category_id": 1, "segmentation": square},
        {"id": 32, "image_id": 5, "category_id": 3, "segmentation": crowd, "iscrowd": 1},
        {"id": 33, "image_id": 6, "category_id": 74, "segmentation": square, "iscrowd": 0},
        {"id": 34, "image_id": 7, "category_id": 1, "segmentation": crowd, "iscrowd": 1},
        {"id": 35, "image_id": 5, "category_id": 1, "segmentation": [[1, 1, 1, 1, 1, 1]]},
    ]
    return {
        "images": [{"id": n, "file_name": f"{n:012d}.jpg", "width": 8, "height": 6} for n in (5, 6, 7)],
        "annotations": annotations,
        "categories": [{"id": n, "name": name} for n, name in ((1, "person"), (3, "car"), (74, "mouse"))],
    }


def coco_videos(path: Path, document: dict[str, Any], **options: Any) -> dict[int, list[tuple[int, int, bool]]]:
    path.write_text(json.dumps(document))
    found = FORMATS["coco"].read(path, ReadOptions(left_out=LeftOut("stop"), **options))
    return {
        video.id: [(track.id, track.category_id, track.is_crowd) for track in video.tracks] for video in found.videos
    }


def test_pictures_of_coco_are_kept_by_class_under_the_ids_of_youtube_vis(tmp_path: Path) -> None:
    path, document = tmp_path / "instances.json", coco_document()
    person = [(31, 1, False), (32, 3, True)]
    assert coco_videos(path, document) == {5: person, 6: [(33, 74, False)], 7: [(34, 1, True)]}
    assert coco_videos(path, document, classes="ytvis19") == {5: [(31, 1, False), (32, 6, True)]}
    assert coco_videos(path, document, classes="ytvis21") == {5: [(31, 26, False), (32, 5, True)], 6: [(33, 24, False)]}


@pytest.mark.parametrize(
    ("place", "value", "message"),
    [
        (("annotations", 0, "image_id"), 99, '"image_id" 99 is used but not listed'),
        (("annotations", 0, "segmentation"), [[1, 2, 3]], "annotation 31: polygon 0 has 3 coordinates"),
        (("annotations", 1, "segmentation", "counts"), [4, 3], "annotation 32: runs cover 7 pixels, only"),
        (("annotations", 0, "iscrowd"), 2, '"iscrowd" is 2'),
        (("images", 0, "file_name"), "../a.jpg", "image 5: the name '../a.jpg' leaves the folder"),
        (("images", 0, "width"), None, "image 5: its size is given as Nonex6, and no image tells it"),
        (("categories", 0), 5, "category at position 0 is 5"),
    ],
)
def test_faults_of_coco_files_are_named(tmp_path: Path, place: tuple[Any, ...], value: Any, message: str) -> None:
    document: Any = coco_document()
    record = document
    for key in place[:-1]:
        record = record[key]
    record[place[-1]] = value
    with pytest.raises(DataError, match=rf"instances\.json.*{message}"):
        coco_videos(tmp_path / "instances.json", document)


def test_a_file_without_known_classes_cannot_be_mapped(tmp_path: Path) -> None:
    document = coco_document()
    document["categories"] = [{"id": n, "name": f"thing {n}"} for n in (1, 3, 74)]
    with pytest.raises(DataError, match="--classes ytvis19 knows"):
        coco_videos(tmp_path / "instances.json", document, classes="ytvis19")


@pytest.mark.parametrize(
    ("key", "message"),
    [("video_id", '"video_id" is missing'), ("track_id", 'no annotation has a "track_id" or "instance_id"')],
)
def test_pictures_without_tracks_are_no_video_set(tmp_path: Path, key: str, message: str) -> None:
    document = coco_document() | {"videos": [{"id": 1, "name": "one"}]}
    for number, image in enumerate(document["images"]):
        image |= {"frame_id": number} | ({"video_id": 1} if key == "track_id" else {})
    (tmp_path / "train.json").write_text(json.dumps(document))
    with pytest.raises(DataError, match=message):
        FORMATS["coco-tracks"].read(tmp_path, ReadOptions())


@pytest.mark.golden
def test_real_pictures_become_stills_with_the_areas_of_coco(tmp_path: Path) -> None:
    source = shared_path("data/realvis/coco/instances.json")
    convert(source, tmp_path, read_as="coco", write_as="youtube-vis", options=ReadOptions(classes="ytvis19"))
    dataset = YouTubeVIS.load(tmp_path, "train")
    truth = {one["id"]: one for one in json.loads(source.read_text())["annotations"]}
    assert len(dataset.categories) == 40
    assert len(dataset.videos) == 10
    for index, video in enumerate(dataset.videos):
        assert video.length == 1
        assert dataset.decode_frames(index, [0]).shape[-2:] == (video.height, video.width)
        for track in dataset.tracks(index):
            assert track.areas is not None
            # COCO states the areas of polygons, which half covered pixels make differ.
            assert track.areas[0] == pytest.approx(truth[track.id]["area"], rel=0.1, abs=30)


@pytest.mark.golden
def test_real_tracks_go_through_a_format_and_back(tmp_path: Path) -> None:
    root = shared_path("data/realvis")
    options = ReadOptions(split="valid")
    convert(root, tmp_path / "a", read_as="youtube-vis", write_as="burst", options=options, images="none")
    convert(tmp_path / "a", tmp_path / "b", read_as="burst", write_as="youtube-vis", options=options, images="none")
    one, other = (json.loads((place / "valid.json").read_text()) for place in (root, tmp_path / "b"))
    keys = ("id", "video_id", "category_id", "segmentations", "areas", "bboxes")
    assert [[track[key] for key in keys] for track in other["annotations"]] == [
        [track[key] for key in keys] for track in one["annotations"]
    ]
    assert [video["file_names"] for video in other["videos"]] == [video["file_names"] for video in one["videos"]]


# Damage


@pytest.mark.parametrize("name", [*WRITTEN, "coco"])
def test_a_damaged_file_is_read_or_refused_and_never_a_surprise(
    tmp_path_factory: pytest.TempPathFactory, name: FormatName
) -> None:
    root = tmp_path_factory.mktemp("damaged")
    if name == "coco":
        (root / "there").mkdir()
        (root / "there/instances.json").write_text(json.dumps(coco_document()))
    else:
        write_youtube_vis(root / "own", num_frames=2, size=(16, 24), num_videos=1)
        convert(
            root / "own",
            root / "there",
            read_as="youtube-vis",
            write_as=name,
            options=ReadOptions(),
            is_loss_allowed=True,
            images="none",
        )
    files = sorted(path for path in (root / "there").rglob("*") if path.is_file())

    @settings(max_examples=40, deadline=None, suppress_health_check=list(HealthCheck))
    @given(
        st.sampled_from(files),
        st.integers(0, 10_000),
        st.sampled_from([b"", b"\x00", b"9", b"-1", b'"', b"null", b"\xff", b"../", b"1e999", b"{}", b"[]"]),
        st.integers(0, 6),
    )
    def breaks(path: Path, position: int, inserted: bytes, removed: int) -> None:
        content = path.read_bytes()
        at = position % len(content) if content else 0
        path.write_bytes(content[:at] + inserted + content[at + removed :])
        try:
            with suppress(DataError, UsageError):
                FORMATS[name].read(root / "there", ReadOptions())
        finally:
            path.write_bytes(content)

    breaks()
