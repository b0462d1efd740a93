"""`maskreel doctor`."""

import json

import pytest

from maskreel.cli.main import main
from maskreel.doctor import codecs, machine, packages
from maskreel.doctor.finding import Finding

FINE = Finding(subject="python", state="ok", found="3.11")
ODD = Finding(subject="threads", state="note", found="8 on 2", advice="use fewer")
BAD = Finding(subject="disk", state="problem", found="none free", advice="make room")


@pytest.fixture
def bad_machine(monkeypatch: pytest.MonkeyPatch) -> None:
    for room, finding in ((packages, FINE), (machine, ODD), (codecs, BAD)):
        monkeypatch.setattr(room, "examine", lambda finding=finding: iter([finding]))


@pytest.mark.slow
def test_this_machine_is_examined_from_all_sides(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["doctor", "--json"]) == 0
    findings = json.loads(capsys.readouterr().out)
    assert {"python", "packages", "torchvision", "threads", "memory", "devices", "numba cache", "disk"} <= {
        finding["subject"] for finding in findings
    }
    assert all(finding["state"] == "ok" or finding["advice"] for finding in findings)


def test_a_problem_is_told_with_what_to_do_and_ends_in_code_1(
    bad_machine: None, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["doctor"]) == 1
    shown = capsys.readouterr()
    assert shown.out.splitlines() == [
        "ok       python: 3.11",
        "note     threads: 8 on 2",
        "         what to do: use fewer",
        "problem  disk: none free",
        "         what to do: make room",
    ]
    assert shown.err == "maskreel: error: a part of Maskreel does not work on this machine: disk\n"


def test_json_alone_is_one_list(bad_machine: None, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["doctor", "--json"]) == 1
    assert [finding["state"] for finding in json.loads(capsys.readouterr().out)] == ["ok", "note", "problem"]
