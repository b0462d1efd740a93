"""Says at the end of a run how many tests compared with recorded data, and fails it if any of them hid."""

from collections.abc import Generator
from contextlib import nullcontext
from dataclasses import dataclass, field

import pytest

from maskreel.kernels.backend import use_backend
from tests import builders

pytest_plugins = ("pytester",)


@dataclass
class GoldenTests:
    """What became of the tests marked `golden`."""

    ran: int = 0
    shipped: int = 0
    """Of those that ran: on the small set that is part of the project."""
    skipped: list[str] = field(default_factory=list)

    @property
    def hidden(self) -> list[str]:
        """Tests that were skipped although the data is there."""
        return self.skipped if builders.SHARED.is_dir() else []


@pytest.fixture(params=["fastest", "reference"])
def each_backend(request: pytest.FixtureRequest) -> Generator[None]:
    """Runs a test with the backend that its tensors get, which is not the reference for float32, and with that."""
    with use_backend("reference") if request.param == "reference" else nullcontext():
        yield


GOLDEN = pytest.StashKey[GoldenTests]()


def pytest_configure(config: pytest.Config) -> None:
    config.stash[GOLDEN] = GoldenTests()


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(item: pytest.Item) -> Generator[None, pytest.TestReport, pytest.TestReport]:
    report = yield
    if marker := item.get_closest_marker("golden"):
        golden = item.config.stash[GOLDEN]
        if report.skipped and not hasattr(report, "wasxfail"):
            golden.skipped.append(item.nodeid)
        elif report.when == "call":
            golden.ran += 1
            golden.shipped += not builders.SHARED.is_dir() or marker.kwargs.get("shipped", False)
    return report


def pytest_sessionfinish(session: pytest.Session) -> None:
    if session.config.stash[GOLDEN].hidden and session.exitstatus == pytest.ExitCode.OK:
        session.exitstatus = pytest.ExitCode.TESTS_FAILED


def pytest_unconfigure(config: pytest.Config) -> None:
    """The last lines of a run, below pytest's own summary."""
    golden, terminal = config.stash[GOLDEN], config.pluginmanager.get_plugin("terminalreporter")
    if terminal is None or not (golden.ran or golden.skipped):
        return
    for name in golden.hidden:
        terminal.write_line(f"golden test skipped although the data is in {builders.SHARED}: {name}", red=True)
    full = golden.ran - golden.shipped
    terminal.write_line(
        f"golden: {golden.ran} ran ({golden.shipped} shipped, {full} full), {len(golden.skipped)} skipped"
    )
