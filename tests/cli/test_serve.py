"""`maskreel serve`: what it refuses before anything is loaded."""

import socket

import pytest

from maskreel.cli.main import main


@pytest.mark.parametrize(
    ("words", "sentence"),
    [
        (("--host", "0.0.0.0"), "--host 0.0.0.0: others could use the page; choose a --password"),
        (("--password=",), "--password is empty"),
        (("--megabytes", "0"), "--megabytes 0: must be above 0"),
        (("--port", "70000"), "--port 70000: must lie between 0 and 65535"),
    ],
)
def test_what_was_typed_wrong_is_one_sentence(
    words: tuple[str, str], sentence: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["serve", "bundled", *words]) == 2
    assert sentence in capsys.readouterr().err


def test_a_missing_extra_is_named(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    monkeypatch.setattr("maskreel.cli.serve.find_spec", lambda name: None)
    assert main(["serve", "bundled"]) == 2
    assert "needs the package gradio: pip install 'maskreel[web]'" in capsys.readouterr().err


@pytest.mark.nightly
def test_a_port_that_is_taken_is_told_and_nothing_is_left(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], tmp_path: object
) -> None:
    pytest.importorskip("gradio")
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path))
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = taken.getsockname()[1]
        assert main(["serve", "bundled", "--port", str(port)]) == 2
    assert f"--port {port} of 127.0.0.1" in capsys.readouterr().err
    assert not list(tmp_path.iterdir())  # type: ignore[attr-defined]
