"""The last line of a test run, and the rule that no golden test hides while its data is there."""

import pytest

from tests import builders

SUITE = """
import pytest
from tests.builders import shared_path

@pytest.mark.golden
def test_compares():
    pass

@pytest.mark.golden
def test_needs_the_data():
    shared_path("golden")

@pytest.mark.golden
def test_hides():
    {hides}

def test_plain():
    pytest.skip("no golden test")
"""


@pytest.fixture
def suite(pytester: pytest.Pytester, monkeypatch: pytest.MonkeyPatch) -> pytest.Pytester:
    pytester.makeconftest("from tests.conftest import *")
    pytester.makepyprojecttoml("[tool.pytest.ini_options]\nmarkers = ['golden: compares']\n")
    monkeypatch.setattr(builders, "SHARED", pytester.path / "shared")
    return pytester


def test_without_the_data_golden_tests_are_counted_as_skipped(suite: pytest.Pytester) -> None:
    suite.makepyfile(SUITE.format(hides="pass"))
    result = suite.runpytest_inprocess()
    assert result.ret == pytest.ExitCode.OK
    assert result.outlines[-1] == "golden: 2 ran (2 shipped, 0 full), 1 skipped"


def test_with_the_data_all_golden_tests_run(suite: pytest.Pytester) -> None:
    (suite.path / "shared" / "golden").mkdir(parents=True)
    suite.makepyfile(SUITE.format(hides="pass"))
    result = suite.runpytest_inprocess()
    assert result.ret == pytest.ExitCode.OK
    assert result.outlines[-1] == "golden: 3 ran (0 shipped, 3 full), 0 skipped"


def test_a_golden_test_that_is_skipped_although_the_data_is_there_fails_the_run(suite: pytest.Pytester) -> None:
    (suite.path / "shared" / "golden").mkdir(parents=True)
    suite.makepyfile(SUITE.format(hides="pytest.skip('not today')"))
    result = suite.runpytest_inprocess()
    assert result.ret == pytest.ExitCode.TESTS_FAILED
    assert result.outlines[-1] == "golden: 2 ran (0 shipped, 2 full), 1 skipped"
    assert "although the data is in" in result.outlines[-2]
    assert "test_hides" in result.outlines[-2]


def test_a_file_missing_from_the_data_is_a_failure_and_no_skip(suite: pytest.Pytester) -> None:
    (suite.path / "shared").mkdir()
    suite.makepyfile(SUITE.format(hides="pass"))
    result = suite.runpytest_inprocess()
    assert result.ret == pytest.ExitCode.TESTS_FAILED
    assert result.outlines[-1] == "golden: 3 ran (0 shipped, 3 full), 0 skipped"


def test_tests_of_shipped_data_are_counted_as_such_beside_the_full_set(suite: pytest.Pytester) -> None:
    (suite.path / "shared" / "golden").mkdir(parents=True)
    marked = SUITE.replace(
        "@pytest.mark.golden\ndef test_compares", "@pytest.mark.golden(shipped=True)\ndef test_compares"
    )
    suite.makepyfile(marked.format(hides="pass"))
    assert suite.runpytest_inprocess().outlines[-1] == "golden: 3 ran (1 shipped, 2 full), 0 skipped"


def test_on_request_only_the_first_case_of_a_test_runs(suite: pytest.Pytester) -> None:
    suite.makepyfile(
        """
        import pytest

        @pytest.mark.parametrize("a", [1, 2])
        @pytest.mark.parametrize("b", "xy")
        def test_cases(a, b):
            assert (a, b) == (1, "x")

        def test_plain():
            pass
        """
    )
    suite.runpytest_inprocess("--first-case").assert_outcomes(passed=2, deselected=3)
    suite.runpytest_inprocess().assert_outcomes(passed=2, failed=3)


def test_on_request_a_file_whose_golden_tests_are_all_skipped_fails_the_run(suite: pytest.Pytester) -> None:
    suite.makepyfile(test_good=SUITE.format(hides="pass"), test_idle=SUITE.format(hides="pass"))
    assert suite.runpytest_inprocess("--every-golden-file").ret == pytest.ExitCode.OK
    suite.makepyfile(test_idle=SUITE.format(hides="shared_path('a')").replace("def test_compares", "def compares"))
    assert suite.runpytest_inprocess().ret == pytest.ExitCode.OK
    result = suite.runpytest_inprocess("--every-golden-file")
    assert result.ret == pytest.ExitCode.TESTS_FAILED
    assert result.outlines[-2] == "no golden test of this file ran: test_idle.py"


def test_runs_without_golden_tests_say_nothing_about_them(suite: pytest.Pytester) -> None:
    suite.makepyfile("def test_plain():\n    pass\n")
    assert not any(line.startswith("golden") for line in suite.runpytest_inprocess().outlines)
