"""Says at the end of a run how many tests compared with recorded data, and fails it if any of them hid."""

import signal
from collections.abc import Generator
from contextlib import nullcontext
from dataclasses import dataclass, field
from typing import Any

import hypothesis
import pytest

from tests import builders

pytest_plugins = ("pytester",)

hypothesis.settings.register_profile("nightly", max_examples=2000)

SHIPPED, FULL = "shipped", "full"
"""Where a test marked `golden` has its recorded data from."""


@dataclass
class GoldenTests:
    """What became of the tests marked `golden`."""

    ran: dict[str, int] = field(default_factory=lambda: {SHIPPED: 0, FULL: 0})
    skipped: list[str] = field(default_factory=list)
    files: dict[str, bool] = field(default_factory=dict)
    """Files with such tests, and whether any of theirs ran."""

    @property
    def hidden(self) -> list[str]:
        """Tests that were skipped although the data is there."""
        return self.skipped if builders.SHARED.is_dir() else []

    @property
    def idle_files(self) -> list[str]:
        return sorted(name for name, has_run in self.files.items() if not has_run)


@pytest.fixture(params=["fastest", "reference"])
def each_backend(request: pytest.FixtureRequest) -> Generator[None]:
    """Runs a test with the backend that its tensors get, which is not the reference for float32, and with that."""
    # Imported here, because shapes are only checked in what is imported after this file.
    from maskreel.kernels.backend import use_backend

    with use_backend("reference") if request.param == "reference" else nullcontext():
        yield


GOLDEN = pytest.StashKey[GoldenTests]()


class GoldenReports:
    """Counts reports, which workers send to the process that speaks."""

    def __init__(self, golden: GoldenTests) -> None:
        self.golden = golden

    def pytest_runtest_logreport(self, report: pytest.TestReport) -> None:
        source = dict(report.user_properties).get("golden")
        if source is None:
            return
        file = report.nodeid.partition("::")[0]
        self.golden.files.setdefault(file, False)
        if report.skipped and not hasattr(report, "wasxfail"):
            self.golden.skipped.append(report.nodeid)
        elif report.when == "call":
            self.golden.ran[str(source)] += 1
            self.golden.files[file] = True


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption(
        "--every-golden-file", action="store_true", help="fail when all golden tests of a file are skipped"
    )
    parser.addoption("--first-case", action="store_true", help="only the first case of every test that has several")


def pytest_configure(config: pytest.Config) -> None:
    # A shell without job control starts what runs in the background with Ctrl-C ignored, and children inherit that.
    if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
        signal.signal(signal.SIGINT, signal.default_int_handler)
    config.stash[GOLDEN] = GoldenTests()
    config.pluginmanager.register(GoldenReports(config.stash[GOLDEN]))


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    if config.getoption("--first-case"):
        first = {item.nodeid.partition("[")[0]: item for item in reversed(items)}
        config.hook.pytest_deselected(items=[item for item in items if item not in first.values()])
        items[:] = [item for item in items if item in first.values()]
    for item in items:
        if marker := item.get_closest_marker("golden"):
            is_full = builders.SHARED.is_dir() and not marker.kwargs.get("shipped", False)
            item.user_properties.append(("golden", FULL if is_full else SHIPPED))


def pytest_sessionfinish(session: pytest.Session) -> None:
    golden, wants_all = session.config.stash[GOLDEN], session.config.getoption("--every-golden-file")
    if session.exitstatus == pytest.ExitCode.OK and (golden.hidden or (wants_all and golden.idle_files)):
        session.exitstatus = pytest.ExitCode.TESTS_FAILED


def pytest_terminal_summary(terminalreporter: Any) -> None:
    """How many tests wanted a browser that there is not."""
    skipped = [report for report in terminalreporter.stats.get("skipped", ()) if "tests/browser/" in report.nodeid]
    if skipped:
        terminalreporter.write_line(f"browser: {len(skipped)} skipped; they need Chromium (package chromium)")


def pytest_unconfigure(config: pytest.Config) -> None:
    """The last lines of a run, below pytest's own summary."""
    golden, terminal = config.stash[GOLDEN], config.pluginmanager.get_plugin("terminalreporter")
    ran = sum(golden.ran.values())
    if terminal is None or not (ran or golden.skipped):
        return
    for name in golden.hidden:
        terminal.write_line(f"golden test skipped although the data is in {builders.SHARED}: {name}", red=True)
    for name in golden.idle_files if config.getoption("--every-golden-file") else ():
        terminal.write_line(f"no golden test of this file ran: {name}", red=True)
    sources = ", ".join(f"{count} {source}" for source, count in golden.ran.items())
    terminal.write_line(f"golden: {ran} ran ({sources}), {len(golden.skipped)} skipped")
