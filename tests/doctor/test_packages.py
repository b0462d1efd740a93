"""Versions of packages, and a torchvision that breaks."""

from pathlib import Path

import pytest

from maskreel.doctor import packages


def examined(*requirements: str) -> tuple[packages.Finding, packages.Finding]:
    core, extras = packages.required_packages(list(requirements))
    return core, extras


def test_packages_in_allowed_versions_are_fine() -> None:
    core, _ = examined("numpy>=1.0", "pillow>=1.0")
    assert core.state == "ok"
    assert "numpy 2." in core.found
    assert core.advice == ""


def test_an_old_package_and_a_missing_one_are_problems_with_a_way_out() -> None:
    core, _ = examined("numpy>=1000", "no-such-package>=1", "pillow>=1.0")
    assert core.state == "problem"
    assert "no-such-package missing" in core.found
    assert "numpy 2." in core.advice
    assert "is not >=1000" in core.advice
    assert "no-such-package is missing" in core.advice
    assert "pip install --constraint constraints.txt" in core.advice
    assert "pillow" not in core.advice


def test_an_extra_is_installed_when_all_its_packages_are() -> None:
    _, extras = examined(
        "numpy>=1.0",
        'pillow>=1.0; extra == "whole"',
        'numpy>=1.0; extra == "part"',
        'no-such-package; extra == "part"',
        'no-such-package; extra == "dev"',
    )
    assert extras.state == "ok"
    assert extras.found == "whole: installed; part: not installed"
    assert "maskreel[NAME]" in extras.advice


@pytest.mark.parametrize(
    ("code", "failure"),
    [
        ("pass", None),
        ("raise RuntimeError('operator torchvision::nms does not exist')", "nms does not exist"),
        ("import os; os.abort()", "ended with code -6"),
        ("import os; os._exit(3)", "ended with code 3"),
    ],
)
def test_a_foreign_import_that_fails_or_dies_is_told(code: str, failure: str | None) -> None:
    found = packages.import_failure(code)
    assert found is None if failure is None else failure in (found or "")


def test_a_foreign_import_that_hangs_is_ended(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(packages, "TIMEOUT", 0.2)
    assert "no answer" in (packages.import_failure("import time; time.sleep(60)") or "")


def with_torchvision(monkeypatch: pytest.MonkeyPatch, folder: Path, content: str) -> packages.Finding:
    """What is said of a torchvision with that content; torch is a stand-in, for its import takes long."""
    (folder / "torchvision.py").write_text(content)
    (folder / "torch.py").write_text("def tensor(values): return values\n")
    (folder / "torchvision-0.1.dist-info").mkdir()
    (folder / "torchvision-0.1.dist-info/METADATA").write_text(
        "Metadata-Version: 2.1\nName: torchvision\nVersion: 0.1\n"
    )
    monkeypatch.syspath_prepend(str(folder))
    monkeypatch.setenv("PYTHONPATH", str(folder))
    return packages.torchvision()


def test_a_torchvision_that_breaks_is_noted_with_what_to_do(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    found = with_torchvision(monkeypatch, tmp_path, "raise RuntimeError('operator torchvision::nms does not exist')")
    assert found.state == "note"
    assert "operator torchvision::nms does not exist" in found.found
    assert "pip uninstall torchvision" in found.advice


def test_a_torchvision_whose_operators_work_is_fine(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    works = "__version__ = '0.1'\nclass ops:\n    nms = staticmethod(lambda boxes, scores, threshold: boxes)\n"
    assert with_torchvision(monkeypatch, tmp_path, works).state == "ok"


def test_a_torchvision_without_its_operators_is_noted(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    assert with_torchvision(monkeypatch, tmp_path, "__version__ = '0.1'\n").state == "note"
