"""`maskreel convert`, `maskreel export-weights`, and what other commands make of the result."""

import json
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file, save_file
from torch import Tensor

from maskreel.checkpoints.conversion import find_dialect
from maskreel.checkpoints.dialects.seqformer import to_seqformer
from maskreel.cli.main import main
from maskreel.models.folder import build_model, load_model, save_model
from maskreel.models.parts.backbones import ResNetConfig
from maskreel.models.parts.box_queries import BoxQueries, DeformableTransformer, DynamicMaskHead
from maskreel.models.seqformer import SeqFormerConfig
from tests.builders import write_youtube_vis
from tests.checkpoints.tables import TINY
from tests.checkpoints.test_foreign import Attack
from tests.checkpoints.test_options_of_published_code import twins_state

CONFIG = SeqFormerConfig(
    backbone=ResNetConfig(depth=18, width=8),
    transformer=DeformableTransformer(width=32, hidden=16, num_points=2, encoder_layers=1, decoder_layers=2),
    queries=BoxQueries(count=12),
    mask_head=DynamicMaskHead(channels=2),
)


@pytest.fixture(scope="module")
def official() -> dict[str, Tensor]:
    """A small SeqFormer as its official checkpoint has it, every number drawn, unused ones too."""
    torch.manual_seed(0)
    state: dict[str, Tensor] = {}
    known: dict[int, Tensor] = {}
    for name, entry in to_seqformer(build_model(CONFIG)).items():
        key = entry.values.data_ptr()
        known.setdefault(key, 0.1 * torch.randn(entry.values.shape).abs()) if entry.role != "unused" else None
        state[name] = known[key] if entry.role in ("trained", "frozen", "alias") else torch.rand(entry.values.shape)
    return state


@pytest.fixture
def weights(official: dict[str, Tensor], tmp_path: Path) -> Path:
    torch.save({"model": official, "epoch": 11}, tmp_path / "official.pth")
    return tmp_path / "official.pth"


def run(capsys: pytest.CaptureFixture[str], *words: object) -> tuple[int, str, str]:
    code = main([str(word) for word in words])
    out, err = capsys.readouterr()
    return code, out, err


def test_a_checkpoint_becomes_a_model_folder_with_an_account(
    weights: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    report = tmp_path / "report.json"
    code, out, err = run(capsys, "convert", weights, tmp_path / "model", "--classes", "ytvis19", "--report", report)
    assert (code, err) == (0, "")
    assert "SeqFormer, official" in out
    assert "  unexplained: none\n" in out
    assert "rows of the classes, without unused logits ([42] to [40])" in out
    account = json.loads(report.read_text())
    assert (account["source"], account["unexplained"]) == ("seqformer", [])
    assert account["groups"]["classify"] == {"matched": 0, "renamed": 0, "sliced": 4, "missing": 0}
    loaded = load_model(tmp_path / "model")
    assert loaded.config == CONFIG
    assert (loaded.classes[0], loaded.classes[39]) == ((1, "person"), (40, "tennis_racket"))
    assert loaded.inference == {"short_side": 360}
    state = load_file(tmp_path / "model" / "model.safetensors")
    assert len(account["tensors"]) == len(state)


@pytest.mark.parametrize("ending", ["pth", "safetensors"])
def test_what_was_converted_comes_back_bit_by_bit(
    ending: str, weights: Path, official: dict[str, Tensor], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    back = tmp_path / f"back.{ending}"
    assert run(capsys, "convert", weights, tmp_path / "model")[0] == 0
    code, out, _ = run(capsys, "export-weights", tmp_path / "model", back)
    assert (code, f"{len(official)} tensors" in out) == (0, True)
    written = torch.load(back, weights_only=True)["model"] if ending == "pth" else load_file(back)
    assert written.keys() == official.keys()
    assert all(torch.equal(written[name], values) for name, values in official.items())


def test_a_trained_model_is_written_under_official_names(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    for kind in ("seqformer", "vistr"):
        config = TINY[kind]
        classes = tuple((k, str(k)) for k in range(config.num_classes))
        save_model(tmp_path / kind, build_model(config), config, classes)
        assert run(capsys, "export-weights", tmp_path / kind, tmp_path / f"{kind}.pth")[0] == 0
    names = torch.load(tmp_path / "seqformer.pth", weights_only=True)["model"].keys()
    assert "detr.transformer.decoder.layers.0.cross_attn.output_proj_box.weight" in names
    state = torch.load(tmp_path / "vistr.pth", weights_only=True)["model"]
    assert state["vistr.class_embed.weight"].shape[0] == TINY["vistr"].num_classes + 2
    assert find_dialect(state).name == "vistr"


def test_json_alone_on_stdout(weights: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    code, out, _ = run(capsys, "convert", weights, tmp_path / "model", "--json")
    summary = json.loads(out)
    assert (code, summary["source"], summary["unexplained"]) == (0, "seqformer", 0)
    assert summary["model"]["queries"]["count"] == 12


def test_half_precision_becomes_full(
    official: dict[str, Tensor], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    shared = {name for name in official if ".decoder.bbox_embed." in name}
    halves = {name: values.half() for name, values in official.items() if name not in shared}
    save_file(halves, tmp_path / "half.safetensors")
    assert run(capsys, "convert", tmp_path / "half.safetensors", tmp_path / "model")[0] == 0
    state = load_file(tmp_path / "model" / "model.safetensors")
    assert state["encoder.level_embedding"].dtype == torch.float32
    assert torch.equal(state["encoder.level_embedding"], halves["detr.transformer.level_embed"].float())


def test_a_single_unexplained_tensor_fails_and_is_reported(
    official: dict[str, Tensor], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    torch.save(official | {"detr.extra.weight": torch.zeros(2)}, tmp_path / "extra.pth")
    words = ("convert", tmp_path / "extra.pth", tmp_path / "model", "--report", tmp_path / "report.json")
    code, out, err = run(capsys, *words)
    assert (code, out, err.count("\n")) == (1, "", 1)
    assert "extra.pth: does not fit SeqFormer, official: detr.extra.weight is left over" in err
    assert not (tmp_path / "model").exists()
    (problem,) = json.loads((tmp_path / "report.json").read_text())["unexplained"]
    assert problem["name"] == "detr.extra.weight"


def test_an_attack_is_refused_by_name_and_leaves_no_trace(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    torch.save({"model": {}, "args": Attack(tmp_path / "canary")}, tmp_path / "evil.pth")
    code, _, err = run(capsys, "convert", tmp_path / "evil.pth", tmp_path / "model")
    assert (code, err.count("\n")) == (1, 1)
    assert "wants to import posix.system" in err
    assert not (tmp_path / "canary").exists()
    assert not (tmp_path / "model").exists()


@pytest.mark.parametrize(
    ("words", "code", "sentence"),
    [
        (["nowhere.pth", "model"], 2, "nowhere.pth: no such file"),
        (["{weights}", "{folder}"], 2, "exists already and holds"),
        (["{weights}", "{weights}"], 2, "a file of that name exists; choose another OUT"),
        (["{weights}"], 2, "maskreel convert needs OUT (model folder to write"),
        (["{weights}", "model", "--from", "vister"], 2, "--from 'vister': no such system; did you mean 'vistr'?"),
        (["{weights}", "model", "--from", "vistr"], 1, "official.pth: not VisTR, official: it has no vistr."),
        (["{weights}", "model", "--heads", "0"], 2, "--heads 0: must be at least 1"),
        (["{weights}", "model", "--heads", "7"], 1, "7 attention heads do not fit its 32 channels"),
        (["{weights}", "model", "--to", "taformr"], 2, "did you mean 'taformer'?"),
        (["{weights}", "model", "--classes", "ytvis"], 2, "neither ytvis19 nor ytvis21 nor an annotation file"),
        (["{weights}", "model", "--hads", "4"], 2, "did you mean --heads?"),
    ],
)
def test_what_was_typed_wrong_is_one_line(
    words: list[str],
    code: int,
    sentence: str,
    weights: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.chdir(weights.parent)
    places = {"weights": str(weights), "folder": str(weights.parent)}
    got, out, err = run(capsys, "convert", *(word.format(**places) for word in words))
    assert (got, out, err.count("\n")) == (code, "", 1)
    assert sentence in err
    assert not (weights.parent / "model").exists()


def test_weights_that_another_kind_has_no_place_for_are_one_line(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    torch.save(twins_state(), tmp_path / "twins.pth")
    code, out, err = run(capsys, "convert", tmp_path / "twins.pth", tmp_path / "model", "--to", "seqformer")
    assert (code, out, err.count("\n")) == (1, "", 1)
    assert "has nothing that a model of kind seqformer could start from" in err
    assert not (tmp_path / "model").exists()


def test_classes_are_named_by_an_annotation_file(
    weights: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    categories = [{"id": 2 * k, "name": f"class{k}"} for k in range(1, 41)]
    (tmp_path / "train.json").write_text(json.dumps({"categories": categories}))
    words = ("convert", weights, tmp_path / "model", "--classes", tmp_path / "train.json")
    assert run(capsys, *words)[0] == 0
    assert load_model(tmp_path / "model").classes[1] == (4, "class2")
    (tmp_path / "train.json").write_text(json.dumps({"categories": categories[:7]}))
    code, _, err = run(capsys, "convert", weights, tmp_path / "other", "--classes", tmp_path / "train.json")
    assert (code, "42 logits, which 7 classes do not fit" in err) == (1, True)


@pytest.mark.parametrize(
    ("words", "code", "sentence"),
    [
        (["bundled", "out.bin"], 2, "the name must end in .pth or .safetensors"),
        (["nowhere", "out.pth"], 2, "nowhere: no such folder"),
        (["taformer", "out.pth"], 1, "a taformer, of which no checkpoint was ever published"),
    ],
)
def test_what_cannot_be_exported_is_one_line(
    words: list[str],
    code: int,
    sentence: str,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.chdir(tmp_path)
    config = TINY["taformer"]
    save_model(tmp_path / "taformer", build_model(config), config, tuple((k, str(k)) for k in range(3)))
    got, out, err = run(capsys, "export-weights", *words)
    assert (got, out, err.count("\n")) == (code, "", 1)
    assert sentence in err


# Training from weights.

QUICK = [
    *["--model.backbone.depth", "18", "--model.backbone.width", "8", "--model.transformer.width", "32"],
    *["--model.transformer.hidden", "16", "--model.backbone.norm", "frozen", "--model.queries.count", "12"],
    *["--model.transformer.num-heads", "8", "--model.transformer.num-points", "2"],
    *["--model.transformer.encoder-layers", "1", "--model.transformer.decoder-layers", "2"],
    *["--model.mask-head.channels", "2", "--data.num-frames", "2", "--data.batch-size", "1", "--data.workers", "0"],
    *["--data.augmentation.scales", "32", "--training.steps", "1", "--training.validate-every", "0"],
    *["--training.device", "cpu", "--training.learning-rate", "0"],
]


@pytest.mark.slow
def test_training_starts_from_foreign_weights_with_a_new_class_head(
    weights: Path, official: dict[str, Tensor], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    write_youtube_vis(tmp_path / "data")
    words = ["train", "seqformer-tiny", *QUICK, "--data.root", tmp_path / "data", "--out", tmp_path / "run"]
    code, _, err = run(capsys, *words, "--init", weights)
    assert code == 0
    assert "class head: drawn anew, for its 40 classes are not the 2 of the data" in err
    account = json.loads((tmp_path / "run" / "init.json").read_text())
    assert {name.split(".")[0] for name in account["new"]} == {"classify"}
    state = load_model(tmp_path / "run").model.state_dict()
    assert torch.equal(state["mask_head.branch.fine.weight"], official["mask_head.dcn.weight"])
    code, _, err = run(capsys, "train", "--resume", tmp_path / "run", "--init", weights)
    assert (code, "leave out --init" in err) == (2, True)


def test_weights_that_do_not_fit_leave_no_run_behind(
    weights: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    write_youtube_vis(tmp_path / "data")
    words = ["train", "seqformer-tiny", *QUICK, "--data.root", "data", "--model.queries.count", "13"]
    code, _, err = run(capsys, *words, "--init", weights)
    assert (code, "[12, 32] in it and [13, 32] here" in err) == (1, True)
    assert not (tmp_path / "runs").exists()
    assert run(capsys, *words, "--init", "nowhere.pth")[0] == 2
