"""What strangers find beside the code: files that are whole, agree with each other, and say nothing that is not so."""

import json
import re
import subprocess
import tomllib
from pathlib import Path

import pytest
import yaml

from maskreel import __version__
from maskreel.models.folder import BUNDLED, load_model, model_folder

ROOT = Path(__file__).parents[2]
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
WORKFLOWS = sorted((ROOT / ".github/workflows").glob("*.yml"))


def test_the_citation_names_this_version_and_licence() -> None:
    citation = yaml.safe_load((ROOT / "CITATION.cff").read_text())
    assert {"cff-version", "message", "title", "authors"} <= set(citation)
    assert (citation["version"], citation["license"]) == (__version__, PROJECT["license"])


def test_the_workflows_cover_three_systems_and_every_python_that_is_promised() -> None:
    matrix = yaml.safe_load((ROOT / ".github/workflows/test.yml").read_text())["jobs"]["systems"]["strategy"]["matrix"]
    assert [name.partition("-")[0] for name in matrix["system"]] == ["ubuntu", "macos", "windows"]
    assert matrix["python"] == ["3.11", "3.12", "3.13", "3.14"]
    assert PROJECT["requires-python"] == f">={matrix['python'][0]}"


@pytest.mark.parametrize("workflow", WORKFLOWS, ids=lambda path: path.name)
def test_workflows_have_few_rights_and_pin_what_they_use(workflow: Path) -> None:
    content = yaml.safe_load(workflow.read_text())
    assert content["permissions"] == {"contents": "read"}
    used = re.findall(r"uses: (\S+)", workflow.read_text())
    assert used
    assert all(re.fullmatch(r"[\w/-]+@[0-9a-f]{40}", action) for action in used)
    assert "not run" in workflow.read_text().splitlines()[0]


@pytest.mark.parametrize("workflow", WORKFLOWS, ids=lambda path: path.name)
def test_make_targets_of_workflows_exist(workflow: Path) -> None:
    makefile = (ROOT / "Makefile").read_text()
    for target in re.findall(r"run: make (\w+)", workflow.read_text()):
        assert re.search(rf"^{target}:", makefile, flags=re.MULTILINE), target


def test_the_image_copies_what_an_installation_needs() -> None:
    lines = (ROOT / "Dockerfile").read_text().splitlines()
    copied = {word for line in lines if line.startswith("COPY") for word in line.split()[1:-1]}
    allowed = {line.removeprefix("!") for line in (ROOT / ".dockerignore").read_text().splitlines() if line[0] == "!"}
    assert copied == allowed
    assert {"src", PROJECT["readme"], *PROJECT["license-files"], "constraints.txt", "pyproject.toml"} == copied
    assert all((ROOT / name).exists() for name in copied)


@pytest.mark.parametrize("name", ["CONTRIBUTING.md", "SECURITY.md"])
def test_links_lead_somewhere(name: str) -> None:
    text = (ROOT / name).read_text()
    for link in re.findall(r"\]\(([^)]+)\)", text):
        file, _, anchor = link.partition("#")
        assert (ROOT / file).exists(), link
        if anchor:
            heads = re.findall(r"^#+ (.+)$", (ROOT / file).read_text(), flags=re.MULTILINE)
            assert anchor in {head.lower().replace(" ", "-") for head in heads}, link


def test_make_targets_of_the_guide_exist() -> None:
    makefile = (ROOT / "Makefile").read_text()
    for target in set(re.findall(r"make (quick|test|mutants|\w+ly)\b", (ROOT / "CONTRIBUTING.md").read_text())):
        assert re.search(rf"^{target}:", makefile, flags=re.MULTILINE), target


def test_the_model_card_tells_of_these_weights() -> None:
    folder = model_folder(BUNDLED)
    card = " ".join((folder / "README.md").read_text().split())
    loaded = load_model(BUNDLED)
    millions = sum(weight.numel() for weight in loaded.model.parameters()) / 1e6
    assert f"{millions:.1f} million parameters" in card
    assert f"({', '.join(name for _, name in loaded.classes)})" in card
    assert f"shortest side of {loaded.inference['short_side']} pixels" in card
    assert {*json.loads((folder / "sums.json").read_text())} == {"config.json", "model.safetensors"}


@pytest.mark.parametrize("figure", ["AP 55.5", "AP50 83.3", "AP75 67.9", "AR1 44.1", "AR10 64.1"])
def test_the_figures_of_the_card_are_those_that_were_measured(figure: str) -> None:
    assert figure in " ".join((model_folder(BUNDLED) / "README.md").read_text().split())
    name, value = figure.split()
    text = (ROOT / "EXPERIMENTS.md").read_text()
    row = next(line for line in text.splitlines() if "`maskreel evaluate bundled`" in line and line.startswith("|"))
    titles = next(line for line in text.splitlines() if line.startswith("| step | AP |"))
    cells = dict(zip((cell.strip() for cell in titles.split("|")), row.replace("*", "").split("|"), strict=True))
    assert cells[name].strip() == value


def test_the_repository_holds_no_built_wheel() -> None:
    listed = subprocess.run(["git", "ls-files", "dist"], cwd=ROOT, capture_output=True, text=True)
    assert listed.stdout == ""
