"""`maskreel train`: recipe first, overrides, run folders, resuming."""

from pathlib import Path

import pytest

from maskreel.cli.main import main
from maskreel.cli.recipe_first import parse
from maskreel.errors import UsageError
from maskreel.recipes.catalog import RECIPES
from maskreel.training.run_folder import read_recipe
from tests.builders import write_youtube_vis

QUICK = [
    *["--model.backbone.width", "8", "--model.transformer.width", "32", "--model.transformer.hidden", "32"],
    *["--model.queries.count", "5", "--model.transformer.num-heads", "4", "--model.transformer.encoder-layers", "1"],
    *[
        "--model.transformer.decoder-layers",
        "1",
        "--data.num-frames",
        "2",
        "--data.batch-size",
        "2",
        "--data.workers",
        "0",
    ],
    *["--data.augmentation.scales", "32", "--training.steps", "2", "--evaluation.predictor.short-side", "32"],
    *["--training.device", "cpu"],
]


@pytest.fixture
def data_root(tmp_path: Path) -> Path:
    for split in ("train", "valid"):
        write_youtube_vis(tmp_path / "data", split=split)
    return tmp_path / "data"


def run(capsys: pytest.CaptureFixture[str], *words: str) -> tuple[int, str, str]:
    code = main(["train", *words])
    out, err = capsys.readouterr()
    return code, out, err


@pytest.mark.parametrize("name", list(RECIPES))
def test_a_recipe_without_overrides_is_the_recipe(name: str) -> None:
    args, recipe = parse([name]), RECIPES[name]()
    assert (args.recipe, args.model, args.data) == (recipe.name, recipe.model, recipe.data)
    assert (args.training, args.evaluation) == (recipe.training, recipe.evaluation)


@pytest.mark.parametrize(
    ("words", "on_bad"),
    [
        (["--on-bad", "skip"], "skip"),
        (["--on-bad=stop"], "stop"),
        (["--data.on-bad", "skip"], "skip"),
        (["--data.on-missing-frames", "skip"], "skip"),
        (["--data.on-missing-frames", "error"], "stop"),
        (["--data.on-missing-frames=error"], "stop"),
        ([], None),
    ],
)
def test_the_switch_for_what_is_bad_has_one_meaning_under_all_its_names(words: list[str], on_bad: str | None) -> None:
    assert parse(["seqformer-tiny", *words]).data.on_bad == on_bad


def test_overrides_reach_every_part() -> None:
    args = parse(["seqformer-tiny", *QUICK, "--training.drops", "1", "2", "--training.schedule", "step"])
    assert args.model.backbone.width == 8
    assert args.data.augmentation is not None
    assert args.data.augmentation.scales == (32,)
    assert args.training.drops == (1, 2)
    assert args.evaluation.predictor.short_side == 32


@pytest.mark.parametrize(
    ("words", "sentence"),
    [
        (["seqformer-tny"], "unknown recipe 'seqformer-tny'; did you mean 'seqformer-tiny'?"),
        (["zzz"], "unknown recipe 'zzz'; recipes: "),
        (["--training.steps", "3"], "the recipe comes first"),
        (["seqformer-tiny", "--training.stps", "3"], "did you mean --training.steps?"),
        (["seqformer-tiny", "--training.steps", "many"], "--training.steps many: expected an integer"),
        (["seqformer-tiny", "--training.steps", "0"], "--training.steps 0 must be at least 1"),
        (
            ["seqformer-tiny", "--training.precision", "int8"],
            "--training.precision 'int8': no such choice; choose one of float32, bf16, fp16",
        ),
        (["seqformer-tiny"], "--data.root DIR"),
        (["seqformer-tiny", "--data.root", "no-such-folder"], "no-such-folder: no such folder"),
        (["--resume"], "--resume needs the folder of a run"),
        (["--resume", "no-such-run"], "no-such-run: no such folder"),
        (["--resume", "."], "not the folder of a run"),
    ],
)
def test_what_was_typed_wrong_is_one_line(
    words: list[str],
    sentence: str,
    capsys: pytest.CaptureFixture[str],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.chdir(tmp_path)
    code, out, err = run(capsys, *words)
    errors = [line for line in err.splitlines() if line.startswith("maskreel: error: ")]
    assert (code, out, len(errors)) == (2, "", 1)
    assert sentence in errors[0]
    assert "Traceback" not in err


def test_nothing_is_left_behind_when_the_data_is_not_there(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    assert main(["train", "seqformer-tiny", "--data.root", "nowhere"]) == 2
    assert list(tmp_path.iterdir()) == []


def test_help_lists_recipes_and_their_options(capsys: pytest.CaptureFixture[str]) -> None:
    code, out, _ = run(capsys, "--help")
    assert code == 0
    assert all(f"  {name}\n" in out for name in RECIPES)
    code, out, _ = run(capsys, "seqformer-tiny", "--help")
    assert code == 0
    assert "--training.learning-rate FLOAT" in out


@pytest.mark.slow
def test_runs_are_numbered_and_resumed_by_folder(
    data_root: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    words = ("seqformer-tiny", "--data.root", str(data_root), *QUICK)
    code, out, err = run(capsys, *words)
    assert code == 0, err
    assert out.splitlines()[-1].startswith("step 2/2")
    assert "AP " in out
    assert "runs/train/seqformer-tiny" in err
    assert run(capsys, *words, "--quiet") == (0, "", "")
    assert sorted(path.name for path in (tmp_path / "runs/train").iterdir()) == ["seqformer-tiny", "seqformer-tiny-2"]
    code, out, err = run(capsys, "--resume", "runs/train/seqformer-tiny", "--training.steps", "3")
    assert code == 0, err
    assert out.splitlines()[-1].startswith("step 3/3")
    assert "resuming with changed options" in err
    assert read_recipe(tmp_path / "runs/train/seqformer-tiny").training.steps == 3
    code, _, err = run(capsys, "--resume", "runs/train/seqformer-tiny", "--model.queries.count", "9")
    assert code == 2
    assert "keeps its model" in err


def test_an_occupied_folder_is_refused(data_root: Path, capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    for out, sentence in ((data_root, "the folder is not empty"), (tmp_path / "file", "a file of that name exists")):
        code, _, err = run(capsys, "seqformer-tiny", "--data.root", str(data_root), "--out", str(out))
        assert code == 2
        assert sentence in err


def test_a_word_that_is_no_recipe_raises_before_anything_is_written() -> None:
    with pytest.raises(UsageError, match="unknown recipe"):
        parse(["seqformer"])
