"""Codecs that really encode and decode."""

import pytest

from maskreel.doctor import codecs
from maskreel.doctor.codecs import ALPHA, OTHERS, OVERLAY, Codec, fault, findings

NAMES = [codec.name for codec in (OVERLAY, ALPHA, *OTHERS)]


@pytest.mark.parametrize("codec", [OVERLAY, ALPHA], ids=lambda codec: codec.encoder)
def test_what_maskreel_writes_comes_back(codec: Codec) -> None:
    assert fault(codec) is None


def test_an_encoder_that_there_is_not_is_a_fault() -> None:
    assert "no-such-codec" in (fault(Codec("none", "no-such-codec", "mp4", "yuv420p")) or "")


def test_frames_that_come_back_with_other_pixels_are_a_fault(monkeypatch: pytest.MonkeyPatch) -> None:
    read = codecs._read_back
    monkeypatch.setattr(codecs, "_read_back", lambda content, codec: [255 - frame for frame in read(content, codec)])
    assert "mean error" in (fault(OVERLAY) or "")


def test_frames_that_do_not_come_back_are_a_fault(monkeypatch: pytest.MonkeyPatch) -> None:
    read = codecs._read_back
    monkeypatch.setattr(codecs, "_read_back", lambda content, codec: read(content, codec)[1:])
    assert fault(OVERLAY) == "3 of 4 frames came back"


def test_alpha_that_is_lost_is_a_fault() -> None:
    without_its_decoder = ALPHA._replace(decoder=None)
    assert "mean error" in (fault(without_its_decoder) or "")


def states(**faults: str) -> dict[str, str]:
    return {found.subject: found.state for found in findings(dict.fromkeys(NAMES) | faults)}


def test_codecs_that_work_are_fine() -> None:
    assert set(states().values()) == {"ok"}


def test_the_codec_of_overlays_is_a_problem_and_others_are_notes() -> None:
    assert states(**{OVERLAY.name: "broken"})[OVERLAY.name] == "problem"
    assert states(**{ALPHA.name: "broken"})[ALPHA.name] == "note"
    (other,) = [found for found in findings(dict.fromkeys(NAMES) | {OTHERS[1].name: "broken"}) if found.state == "note"]
    assert f"not: {OTHERS[1].name} (broken)" in other.found
    assert OTHERS[0].name in other.found


def test_a_codec_that_takes_its_process_with_it_is_told(monkeypatch: pytest.MonkeyPatch) -> None:
    class Died:
        stdout = '["H.264 in mp4", null]\n'
        returncode = -11

    monkeypatch.setattr(codecs.subprocess, "run", lambda *_, **__: Died())
    found = {one.subject: one for one in codecs.examine()}
    assert found[OVERLAY.name].state == "ok"
    assert "ended with code -11" in found[ALPHA.name].found
