"""Frames in shards are the frames of the folders, and damage is named before anything is learnt."""

import json
import re
import tarfile
from dataclasses import replace
from pathlib import Path

import pytest
import torch

from maskreel.cli.main import main
from maskreel.data.config import DataConfig
from maskreel.data.loading import TrainingBatch
from maskreel.data.packed import INDEX, SHARDS
from maskreel.data.sampling import ClipSampler, shares
from maskreel.data.youtube_vis import YouTubeVIS
from maskreel.errors import DataError, OptionError
from maskreel.training.distributed import Processes, share_batches
from maskreel.training.recipe import Recipe
from maskreel.training.run_data import load_run_data, training_loader
from tests.builders import write_youtube_vis
from tests.training.conftest import TINY_MODEL

ALONE = Processes(rank=0, world_size=1, device=torch.device("cpu"))


@pytest.fixture(scope="module")
def folders(tmp_path_factory: pytest.TempPathFactory) -> Path:
    root = tmp_path_factory.mktemp("folders")
    write_youtube_vis(root, split="train", num_videos=3)
    return root


def packed(root: Path, target: Path, *words: str) -> Path:
    assert main(["data", "pack", str(root), str(target), "--shard-size", "0.001", *words, "--json", "-"]) == 0
    return target


def batches(root: Path, count: int, **data: object) -> list[TrainingBatch]:
    config = DataConfig(root=root, num_frames=2, workers=0, **data)  # type: ignore[arg-type]
    recipe = Recipe(name="tiny", model=TINY_MODEL, data=config)
    training = load_run_data(replace(recipe, training=replace(recipe.training, validate_every=0))).training
    loader = training_loader(training, config, ALONE, share_batches(config.batch_size, 1, 1), seed=0)
    return [batch for batch, _ in zip(loader, range(count), strict=False)]


def test_shards_give_the_same_clips_in_the_same_order_as_folders(folders: Path, tmp_path: Path) -> None:
    target = packed(folders, tmp_path / "packed")
    assert len(list((target / "train/shards").glob("*.tar"))) > 1
    for expected, found in zip(batches(folders, 8), batches(target, 8), strict=True):
        assert (found.video_id, found.frame_index) == (expected.video_id, expected.frame_index)
        assert torch.equal(found.clips.frames, expected.clips.frames)
        assert all(torch.equal(a.masks, b.masks) for a, b in zip(found.targets, expected.targets, strict=True))


def test_shards_are_archives_in_the_layout_of_webdataset(folders: Path, tmp_path: Path) -> None:
    target = packed(folders, tmp_path / "packed")
    names = []
    for shard in sorted((target / "train/shards").glob("*.tar")):
        with tarfile.open(shard) as archive:
            for member in archive:
                content = archive.extractfile(member)
                assert content is not None
                assert content.read() == (folders / "train/JPEGImages" / member.name).read_bytes()
                names.append(member.name)
    videos = YouTubeVIS.load(folders, "train").videos
    assert names == [name for video in videos for name in video.file_names]
    again = packed(folders, tmp_path / "again")
    for path in (target / "train/shards").iterdir():
        assert path.read_bytes() == (again / "train/shards" / path.name).read_bytes()
    assert (target / "train.json").read_bytes() == (folders / "train.json").read_bytes()


@pytest.mark.parametrize("damage", ["a byte", "cut off", "missing", "table"])
def test_a_damaged_shard_is_named_before_training(damage: str, folders: Path, tmp_path: Path) -> None:
    shards = packed(folders, tmp_path / "packed") / "train/shards"
    victim = shards / INDEX if damage == "table" else sorted(shards.glob("*.tar"))[1]
    content = bytearray(victim.read_bytes())
    if damage == "missing":
        victim.unlink()
    else:
        content[len(content) // 2] ^= 1
        victim.write_bytes(content[:-512] if damage == "cut off" else content)
    with pytest.raises(DataError, match=re.escape(str(victim))):
        batches(tmp_path / "packed", 1)


def test_every_process_reads_its_share_of_the_shards(folders: Path, tmp_path: Path) -> None:
    shards = packed(folders, tmp_path / "packed") / "train/shards"
    victim = sorted(shards.glob("*.tar"))[1]
    content = bytearray(victim.read_bytes())
    content[len(content) // 2] ^= 1
    victim.write_bytes(content)
    dataset = YouTubeVIS.load(tmp_path / "packed", "train")
    assert dataset.packed is not None
    dataset.packed.check(part=0, of=2)
    with pytest.raises(DataError, match=victim.name):
        dataset.packed.check(part=1, of=2)


def test_what_cannot_be_packed_or_read_is_one_sentence(
    folders: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    target = packed(folders, tmp_path / "packed")
    assert main(["data", "pack", str(target), str(tmp_path / "twice")]) == 2
    assert "packed already" in capsys.readouterr().err
    (target / "train/shards/own.txt").write_text("mine")
    assert main(["data", "pack", str(folders), str(target)]) == 2
    assert "not all in it is ours" in capsys.readouterr().err
    assert main(["data", "pack", str(folders), str(tmp_path / "x"), "--shard-size", "0"]) == 2
    with pytest.raises(DataError, match="have no files"):
        YouTubeVIS.load(target, "train").frame_path(0, 0)
    described = json.loads((target / "train/shards" / SHARDS).read_text())
    del described["index"]
    (target / "train/shards" / SHARDS).write_text(json.dumps(described))
    with pytest.raises(DataError, match="damaged"):
        YouTubeVIS.load(target, "train")


def test_joint_sets_may_be_packed_or_not(folders: Path, tmp_path: Path) -> None:
    target = packed(folders, tmp_path / "packed")
    for expected, found in zip(
        batches(folders, 4, joint=(folders,)), batches(target, 4, joint=(folders,)), strict=True
    ):
        assert (found.video_id, found.frame_index) == (expected.video_id, expected.frame_index)
        assert torch.equal(found.clips.frames, expected.clips.frames)


@pytest.mark.parametrize(
    ("total", "weights", "expected"),
    [(10, (1.0, 1.0), [5, 5]), (10, (2.0, 1.0), [7, 3]), (7, (1.0, 1.0, 1.0), [3, 2, 2])],
)
def test_shares_add_up(total: int, weights: tuple[float, ...], expected: list[int]) -> None:
    assert shares(total, weights) == expected


def test_weights_say_how_often_a_set_comes_up_and_every_clip_before_any_comes_again() -> None:
    sampler = ClipSampler(30, batch_size=30, seed=3, sets=(20, 10), weights=(1.0, 3.0))
    epochs = [tokens for tokens, _ in zip(sampler, range(3), strict=False)]
    for tokens in epochs:
        first = [token.index for token in tokens if token.index < 20]
        second = [(token.index, token.turn) for token in tokens if token.index >= 20]
        assert (len(first), len(set(first))) == (8, 8)
        assert len(second) == len(set(second)) == 22
        assert {index for index, turn in second if turn == 0} == set(range(20, 30))
        assert {turn for _, turn in second} == {0, 1, 2}
    assert len({tuple(token.index for token in tokens) for tokens in epochs}) == 3


def test_a_weighted_sampler_goes_on_where_it_was() -> None:
    def make() -> ClipSampler:
        return ClipSampler(12, batch_size=5, seed=1, sets=(4, 8), weights=(3.0, 1.0))

    whole = [tokens for tokens, _ in zip(make(), range(8), strict=False)]
    sampler = make()
    for _ in range(3):
        sampler.advance()
    other = make()
    other.load_state_dict(sampler.state_dict())
    assert [tokens for tokens, _ in zip(other, range(5), strict=False)] == whole[3:]


@pytest.mark.parametrize(
    ("weights", "message"),
    [((1.0,), "there are 2 sets"), ((1.0, 0.0), "must all be above 0"), ((1.0, 2.0, 3.0), "2 sets")],
)
def test_weights_that_cannot_be_are_refused(weights: tuple[float, ...], message: str, tmp_path: Path) -> None:
    with pytest.raises(OptionError, match=message):
        DataConfig(root=tmp_path, joint=(tmp_path,), weights=weights)
