"""What `from maskreel import ...` offers."""

import subprocess
import sys

import pytest

import maskreel
from maskreel.inference.predictor import VideoPredictor


def test_every_public_name_can_be_imported() -> None:
    for name in maskreel.__all__:
        assert getattr(maskreel, name).__name__ == name
    assert maskreel.VideoPredictor is VideoPredictor


def test_an_unknown_name_is_refused() -> None:
    with pytest.raises(AttributeError, match="VideoPredicter"):
        maskreel.VideoPredicter  # noqa: B018


def test_importing_the_package_does_not_import_torch() -> None:
    code = "import sys, maskreel, maskreel.cli.main; sys.exit('torch' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0
