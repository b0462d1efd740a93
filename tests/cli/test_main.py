"""The dispatcher: help at once, one line per failure, the right exit code."""

import subprocess
import sys

import pytest

from maskreel.cli.main import COMMANDS, Command, main


@pytest.fixture(autouse=True)
def faulty(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(
        COMMANDS, "faulty", Command("tests.cli.faulty_command", "tests.cli.faulty_command:Faulty", "fail")
    )


def run(capsys: pytest.CaptureFixture[str], *words: str) -> tuple[int, str, str]:
    code = main(words)
    out, err = capsys.readouterr()
    return code, out, err


def test_help_lists_every_command(capsys: pytest.CaptureFixture[str]) -> None:
    for words in ((), ("--help",), ("-h",)):
        code, out, err = run(capsys, *words)
        assert (code, err) == (0, "")
        assert all(f"  {name} " in out for name in COMMANDS)


@pytest.mark.parametrize("words", [["faulty"], ["data"], ["data", "synth"], []])
def test_help_before_a_command_is_its_help(words: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    shown = run(capsys, "help", *words)
    assert shown == run(capsys, *words, "--help")
    assert shown[0] == 0


def test_a_fault_in_the_checks_of_a_record_is_unexpected(capsys: pytest.CaptureFixture[str]) -> None:
    for words in (["--num-queries", "13"], ["--inner.rate", "0.13"]):
        code, out, err = run(capsys, "faulty", "none", *words)
        assert (code, out) == (1, "")
        assert "unexpected ValueError: thirteen" in err


def test_without_its_hook_tyro_refuses_in_one_sentence_all_the_same(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.delattr("tyro._errors.on_parse_error")
    code, out, err = run(capsys, "faulty", "none", "--num-queries", "x")
    assert (code, out) == (2, "")
    sentence = (
        "maskreel: error: cannot understand 'none --num-queries x'; maskreel faulty --help lists what can be typed"
    )
    assert err.splitlines()[-1] == sentence


def test_a_group_lists_its_members(capsys: pytest.CaptureFixture[str]) -> None:
    for words in (("data",), ("data", "--help")):
        code, out, _ = run(capsys, *words)
        assert code == 0
        assert "data synth" in out
        assert "evaluate" not in out


def test_help_of_a_command_lists_its_options(capsys: pytest.CaptureFixture[str]) -> None:
    code, out, err = run(capsys, "faulty", "--help")
    assert (code, err) == (0, "")
    assert "--num-queries INT" in out


@pytest.mark.parametrize(
    ("words", "sentence"),
    [
        (["evalute"], "unknown command 'evalute'; did you mean 'evaluate'?"),
        (["data", "snth"], "unknown command 'data snth'; did you mean 'data synth'?"),
        (["qqq"], "unknown command 'qqq'; maskreel --help lists them."),
        (["faulty", "none", "--num-querees", "4"], "did you mean --num-queries?"),
        (["track"], "unknown command 'track'; maskreel --help lists them."),
        (["doctr"], "unknown command 'doctr'; did you mean 'doctor'?"),
        (["predit"], "unknown command 'predit'; did you mean 'predict'?"),
        (["preditc"], "unknown command 'preditc'; did you mean 'predict'?"),
        (["dta"], "unknown command 'dta'; did you mean 'data'?"),
        (["data", "merge"], "unknown command 'data merge'; maskreel data --help lists them."),
        (["help", "predit"], "unknown command 'predit'; did you mean 'predict'?"),
        (["faulty", "none", "--num-q=4"], "unknown option --num-q; did you mean --num-queries?"),
        (["faulty", "none", "--inner.rat", "4"], "unknown option --inner.rat; did you mean --inner.rate?"),
        (["faulty", "none", "--rate", "4"], "unknown option --rate; did you mean --inner.rate?"),
        (["faulty", "none", "--no-quite"], "unknown option --no-quite; did you mean --no-quiet?"),
        (["faulty", "--num-querees"], "maskreel faulty needs FAULT (what to raise)"),
        (["faulty", "none", "--colour", "red"], "unknown option --colour; maskreel faulty --help lists the options"),
        (["faulty", "none", "more"], "'more': no place for this word; maskreel faulty --help says what may be typed"),
        (["faulty", "none", "--num-queries", "x"], "--num-queries x: expected an integer; see maskreel faulty --help"),
        (["faulty", "none", "--num-queries=x"], "--num-queries x: expected an integer; see maskreel faulty --help"),
        (["faulty", "none", "--num_queries", "x"], "--num-queries x: expected an integer; see maskreel faulty --help"),
        (["faulty", "none", "--limit", "x"], "--limit x: expected a number or None; see maskreel faulty --help"),
        (["faulty", "none", "--size", "3"], "--size needs an integer and an integer after it; see maskreel faulty"),
        (["faulty", "none", "--size", "3", "x"], "--size 3 x: expected an integer and an integer; see maskreel"),
        (["faulty", "none", "--num-queries"], "--num-queries needs an integer after it; see maskreel faulty --help"),
        (["faulty", "none", "--num-queries", "0"], "--num-queries 0 must be at least 1"),
        (["faulty", "none", "--inner.rate", "2"], "--inner.rate 2.0 must be at most 1"),
        (["faulty", "nine"], "FAULT 'nine': no such choice; did you mean 'none'?"),
        (["faulty", "x"], "FAULT 'x': no such choice; choose one of usage, data, "),
        (["faulty"], "maskreel faulty needs FAULT (what to raise); see maskreel faulty --help"),
        (["faulty", "usage"], "out.txt: a file of that name exists"),
    ],
)
def test_what_was_typed_wrong_is_one_line_and_exit_code_2(
    words: list[str], sentence: str, capsys: pytest.CaptureFixture[str]
) -> None:
    code, out, err = run(capsys, *words)
    assert code == 2
    assert out == ""
    assert err.startswith("maskreel: error: ")
    assert sentence in err
    assert err.count("\n") == 1


@pytest.mark.parametrize(
    ("fault", "code", "sentence"),
    [
        ("data", 1, "a.json: two lines"),
        ("file", 1, "/no/such/file: No such file or directory"),
        ("partial", 3, "1 of 2 videos failed"),
        ("interrupt", 130, "interrupted after step 3"),
        ("bug", 1, "unexpected RuntimeError: the impossible; run again with --debug"),
        ("library", 1, "unexpected ValueError: operands could not be broadcast"),
        ("invariant", 1, "unexpected ValueError: three maps for four levels; run again with --debug"),
        ("option", 1, "sampling backend 'gpu' is unknown"),
    ],
)
def test_a_failure_is_one_line_and_its_exit_code(
    fault: str, code: int, sentence: str, capsys: pytest.CaptureFixture[str]
) -> None:
    got, out, err = run(capsys, "faulty", fault)
    assert (got, out) == (code, "")
    assert err.startswith("maskreel: error: ")
    assert sentence in err
    assert err.count("\n") == 1


@pytest.mark.parametrize(
    "words", [["--debug", "faulty", "bug"], ["faulty", "--debug", "bug"], ["faulty", "bug", "--debug"]]
)
def test_debug_shows_the_traceback_wherever_it_stands(words: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    code, _, err = run(capsys, *words)
    assert code == 1
    assert "Traceback" in err
    assert "faulty_command.py" in err


@pytest.mark.parametrize(
    ("words", "value"),
    [
        (["none", "--json"], "'-'"),
        (["none", "--json", "--num-queries", "4"], "'-'"),
        (["none", "--json", "a.json"], "'a.json'"),
        (["none", "--json", "-"], "'-'"),
        (["none"], "None"),
    ],
)
def test_json_without_a_path_means_stdout(words: list[str], value: str, capsys: pytest.CaptureFixture[str]) -> None:
    code, out, _ = run(capsys, "faulty", *words)
    assert code == 0
    assert f"json={value}" in out


def test_a_reader_that_went_away_is_no_traceback() -> None:
    process = subprocess.Popen(
        [sys.executable, "-m", "maskreel.cli.main", "--help"], stdout=subprocess.PIPE, stderr=subprocess.PIPE
    )
    assert process.stdout is not None
    process.stdout.close()
    _, err = process.communicate()
    assert err == b""
    assert process.returncode == 1
