"""Versions: Python, the packages that Maskreel needs, those of its extras, and a torchvision that breaks."""

import platform
import re
import subprocess
import sys
from collections.abc import Iterator
from importlib.metadata import PackageNotFoundError, requires, version

from packaging.requirements import Requirement

from maskreel.doctor.finding import Finding

CONSTRAINED = "pip install --constraint constraints.txt --editable ."
TIMEOUT = 60
"""Seconds for the import of a foreign package."""

_TRY_TORCHVISION = (
    "import torch, torchvision; "
    "torchvision.ops.nms(torch.tensor([[0., 0., 1., 1.]]), torch.tensor([1.]), 0.5); print(torchvision.__version__)"
)


def examine() -> Iterator[Finding]:
    """Findings about software."""
    yield Finding(subject="python", state="ok", found=f"{platform.python_version()} on {platform.platform()}")
    yield from required_packages(requires("maskreel") or [])
    yield torchvision()


def required_packages(requirements: list[str]) -> Iterator[Finding]:
    """Whether each package is there in a version that is allowed; `requirements` as package metadata lists them."""
    core, extras = [], {}
    for requirement in map(Requirement, requirements):
        extra = re.search(r"extra == ['\"](\w+)['\"]", str(requirement.marker or ""))
        (core if extra is None else extras.setdefault(extra[1], [])).append(requirement)
    wrong = {one.name: reason for one in core if (reason := _fault(one))}
    yield Finding(
        subject="packages",
        state="problem" if wrong else "ok",
        found=", ".join(f"{one.name} {_version(one.name) or 'missing'}" for one in core),
        advice=f"{'; '.join(wrong.values())}: {CONSTRAINED}" if wrong else "",
    )
    ready = {name: not any(map(_fault, needed)) for name, needed in extras.items() if name != "dev"}
    yield Finding(
        subject="extras",
        state="ok",
        found="; ".join(f"{name}: {'installed' if is_there else 'not installed'}" for name, is_there in ready.items()),
        advice="nothing, unless you want one: pip install 'maskreel[NAME]'" if not all(ready.values()) else "",
    )


def torchvision() -> Finding:
    """A torchvision that was built for another torch fails when it is imported, and takes others down with it."""
    subject = "torchvision"
    if _version(subject) is None:
        return Finding(subject=subject, state="ok", found="not installed; Maskreel does not use it")
    failure = import_failure(_TRY_TORCHVISION)
    if failure is None:
        return Finding(subject=subject, state="ok", found=f"{_version(subject)} works; Maskreel does not use it")
    return Finding(
        subject=subject,
        state="note",
        found=f"{_version(subject)} does not work beside torch {_version('torch')}: {failure}",
        advice="Maskreel does not use it, but other packages that import it fail: pip uninstall torchvision, "
        "or install the version that was made for this torch",
    )


def import_failure(code: str) -> str | None:
    """The last line that a piece of Python fails with, run in a process of its own; None where it works."""
    try:
        done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=TIMEOUT)
    except subprocess.TimeoutExpired:
        return f"no answer within {TIMEOUT} seconds"
    if not done.returncode:
        return None
    lines = done.stderr.strip().splitlines()
    return lines[-1] if lines and done.returncode > 0 else f"the process ended with code {done.returncode}"


def _fault(requirement: Requirement) -> str | None:
    found = _version(requirement.name)
    if found is None:
        return f"{requirement.name} is missing"
    is_allowed = requirement.specifier.contains(found, prereleases=True)
    return None if is_allowed else f"{requirement.name} {found} is not {requirement.specifier}"


def _version(package: str) -> str | None:
    try:
        return version(package)
    except PackageNotFoundError:
        return None
