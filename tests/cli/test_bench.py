"""`maskreel bench`: reports for people and for programs, and clear words for wrong options."""

import json
from pathlib import Path

import pytest

from maskreel.cli.main import main

STAGES = ["model", "with post-processing", "end to end"]


def run(*words: str) -> int:
    return main(["bench", *words])


@pytest.mark.slow
def test_a_model_is_timed_in_three_stages(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    report_path = tmp_path / "report.json"
    code = run("model", "bundled", "--frames", "2", "--samples", "1", "--device", "cpu", "--json", str(report_path))
    assert code == 0
    report = json.loads(report_path.read_text())
    assert {"hardware", "protocol", "model"} == set(report)
    assert report["hardware"]["cores"] >= 1
    stages = report["model"]["stages"]
    assert [stage["stage"] for stage in stages] == STAGES
    for stage in stages:
        assert stage["frames"] == 2
        assert stage["best_ms"] <= stage["p50_ms"] <= stage["p95_ms"]
        assert stage["frames_per_second"] == pytest.approx(2000 / stage["p50_ms"])
        assert stage["peak_memory_mib"] > 50
    printed = capsys.readouterr().out
    assert all(stage in printed for stage in STAGES)


@pytest.mark.slow
def test_json_alone_leaves_nothing_else_on_stdout(capsys: pytest.CaptureFixture[str]) -> None:
    assert run("model", "bundled", "--frames", "1", "--samples", "1", "--precision", "bf16", "--json") == 0
    report = json.loads(capsys.readouterr().out)
    assert report["model"]["precision"] == "bf16"


@pytest.mark.slow
def test_a_training_step_is_shown_in_its_parts(capsys: pytest.CaptureFixture[str]) -> None:
    words = ("train", "seqformer-tiny", "--size", "32", "48", "--batch-size", "1", "--workers", "0", "--samples", "1")
    assert run(*words, "--device", "cpu", "--json") == 0
    report = json.loads(capsys.readouterr().out)
    assert {"hardware", "protocol", "train"} == set(report)
    figures = report["train"]
    assert (figures["clips"], figures["frames"], figures["size"]) == (1, 4, [32, 64])
    assert list(figures["shares"]) == ["reading", "network", "matching", "losses", "backward", "optimizer"]
    assert all(share > 0 for share in figures["shares"].values())
    assert sum(figures["shares"].values()) == pytest.approx(1)
    assert figures["step_ms"]["best"] <= figures["step_ms"]["p50"]
    assert figures["peak_memory_mib"] > 50


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["model", "seqformer-r50-ytvis"], "neither a recipe nor a folder; did you mean 'seqformer-r50-ytvis19"),
        (["model", "???"], "neither a recipe nor a folder; maskreel recipes lists them"),
        (["model"], "NAME"),
        (["modle", "bundled"], "did you mean 'bench model'"),
        (["model", "bundled", "--samples", "0"], "--samples 0: must lie between 1 and 1000"),
        (["sampling", "--samples", "-3"], "--samples -3: must lie between 1 and 1000"),
        (["--samples", "0"], "--samples 0: must lie between 1 and 1000"),
        (["model", "bundled", "--frames", "0"], "--frames 0: must lie between 1 and 1000"),
        (["model", "bundled", "--short-side", "3"], "short-side 3: must be at least 16"),
        (["model", "bundled", "--precision", "fp8"], "fp8"),
        (["model", "bundled", "--video", "no.mp4"], "no.mp4"),
        (["train", "seqformer-tny"], "unknown recipe 'seqformer-tny'; did you mean 'seqformer-tiny'"),
        (["train", "seqformer-tiny", "--size", "3", "400"], "--size 3 400: sides must lie between 32 and 2160"),
        (["train", "seqformer-tiny", "--size", "96", "160", "--data", "set"], "--size is that of rendered videos"),
        (["train", "seqformer-tiny", "--workers", "-1"], "--workers -1: must be at least 0"),
        (["train", "seqformer-tiny", "--data", "no-such-folder"], "no-such-folder"),
    ],
)
def test_wrong_words_get_one_sentence_and_code_2(
    words: list[str], message: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run(*words) == 2
    error = capsys.readouterr().err
    assert error.startswith("maskreel: error: ")
    assert message in error
    assert error.count("\n") == 1
