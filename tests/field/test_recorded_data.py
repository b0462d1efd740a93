"""Every recorded case about annotations, scoring and weights, judged by the script beside them."""

from pathlib import Path

import pytest

from tests.field.recorded import SUPERSEDED, Case, cases, judge, write_commands

pytestmark = pytest.mark.nightly


@pytest.fixture(scope="module")
def maskreel(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_commands(tmp_path_factory.mktemp("commands"))


@pytest.mark.parametrize("case", [pytest.param(case, id=case.name) for case in cases("data")])
def test_a_recorded_case_comes_out_as_wanted(case: Case, maskreel: Path) -> None:
    content = {**case.content}
    if case.name in SUPERSEDED:
        content["wanted"] = SUPERSEDED[case.name]
    if "values" in content["wanted"]:
        content["expected"] = case.expected
    assert judge().run(case.folder, content, maskreel) == []
