"""Strict round trip between records and plain dicts."""

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import pytest
from hypothesis import given
from hypothesis import strategies as st

from maskreel.config import ConfigError, from_dict, nearest, new_path, to_dict
from maskreel.errors import OptionError


@dataclass(frozen=True, kw_only=True)
class Small:
    kind: Literal["small"] = "small"
    depth: int = 18


@dataclass(frozen=True, kw_only=True)
class Large:
    kind: Literal["large"] = "large"
    window: tuple[int, int] = (7, 7)
    drop: float | None = None


@dataclass(frozen=True, kw_only=True)
class Settings:
    rate: float
    root: Path | None = None
    mode: Literal["official", "ignore"] = "official"
    sides: tuple[int, ...] = (288, 320)
    backbone: Small | Large = Small()
    extra: Large | None = None
    names: dict[str, int] | None = None
    is_fast: bool = False
    scale: int | float | str = 1

    def __post_init__(self) -> None:
        if self.rate < 0:
            raise OptionError(f"rate {self.rate} is negative")


@dataclass(frozen=True, kw_only=True)
class Whole:
    settings: Settings


settings = st.builds(
    Settings,
    rate=st.floats(0, 1e30),
    root=st.none() | st.sampled_from([Path("a/b"), Path("/x")]),
    mode=st.sampled_from(["official", "ignore"]),
    sides=st.lists(st.integers()).map(tuple),
    backbone=st.builds(Small, depth=st.integers()) | st.builds(Large, drop=st.none() | st.floats(0, 1)),
    extra=st.none() | st.builds(Large, window=st.tuples(st.integers(), st.integers())),
    names=st.none() | st.dictionaries(st.text(), st.integers()),
    is_fast=st.booleans(),
    scale=st.integers() | st.floats(-1, 1) | st.text(),
)


@pytest.mark.slow
@given(settings)
def test_a_record_survives_the_round_trip_through_json(record: Settings) -> None:
    again = from_dict(Settings, json.loads(json.dumps(to_dict(record))))
    assert again == record
    assert type(again.scale) is type(record.scale)


def test_missing_keys_take_their_defaults() -> None:
    assert from_dict(Settings, {"rate": 1}) == Settings(rate=1.0)


def test_a_union_itself_can_be_asked_for() -> None:
    assert from_dict(Small | Large, {"kind": "large"}) == Large()


@pytest.mark.parametrize(
    ("data", "message"),
    [
        ({"rat": 1}, r"^settings\.rat: unknown key; did you mean 'rate'\?$"),
        ({"rate": 1, "zzz": 0}, r"settings\.zzz: unknown key; allowed are rate, root"),
        ({}, r"settings\.rate: is missing \(a number\)"),
        ({"rate": "fast"}, r"settings\.rate: expected a number, got 'fast'"),
        ({"rate": True}, r"settings\.rate: expected a number, got True"),
        ({"rate": float("nan")}, r"settings\.rate: nan is not a finite number"),
        ({"rate": float("inf")}, r"settings\.rate: inf is not a finite number"),
        ({"rate": 1, "extra": {"drop": float("-inf")}}, r"settings\.extra\.drop: -inf is not a finite number"),
        ({"rate": -1}, r"^settings: rate -1\.0 is negative"),
        ({"rate": 1, "mode": "oficial"}, r"settings\.mode: 'oficial' is not one of 'official', 'ignore'; did you mean"),
        ({"rate": 1, "sides": 3}, r"settings\.sides: expected a list of an integer, got 3"),
        ({"rate": 1, "sides": [1, 2.5]}, r"settings\.sides\[1\]: expected an integer, got 2\.5"),
        ({"rate": 1, "backbone": {"depth": 3}}, r"settings\.backbone\.kind: is missing.*'small', 'large'"),
        ({"rate": 1, "backbone": {"kind": "smal"}}, r"backbone\.kind: 'smal' is not one of.*did you mean 'small'"),
        ({"rate": 1, "backbone": {"kind": ["small"]}}, r"backbone\.kind: \['small'\] is not one of"),
        ({"rate": 1, "backbone": None}, r"settings\.backbone: expected an object \(Small\) or an object \(Large\)"),
        ({"rate": 1, "backbone": {"kind": "large", "window": [7]}}, r"backbone\.window: 1 values where 2 are expected"),
        ({"rate": 1, "extra": {"kind": "small"}}, r"settings\.extra\.kind: 'small' is not one of 'large'"),
        ({"rate": 1, "extra": {"dropp": 0.1}}, r"settings\.extra\.dropp: unknown key; did you mean 'drop'"),
        ({"rate": 1, "is_fast": 1}, r"settings\.is_fast: expected true or false, got 1"),
        ({"rate": 1, "names": {"a": "b"}}, r"settings\.names\.a: expected an integer, got 'b'"),
        ({"rate": 1, "root": 5}, r"settings\.root: expected a path, got 5"),
    ],
)
def test_what_does_not_fit_is_refused_with_its_path(data: dict, message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        from_dict(Whole, {"settings": data})


def test_the_top_level_must_be_an_object() -> None:
    with pytest.raises(ConfigError, match=r"run\.json: expected an object \(Settings\), got \[1\]"):
        from_dict(Settings, [1], path="run.json")


def test_class_paths_in_a_file_are_plain_strings() -> None:
    with pytest.raises(ConfigError, match="unknown key"):
        from_dict(Settings, {"rate": 1, "_target_": "os.system"})


def test_values_without_a_form_in_json_are_refused_on_writing() -> None:
    @dataclass(frozen=True)
    class Odd:
        inner: object

    with pytest.raises(ConfigError, match=r"inner\[0\]: set cannot be written"):
        to_dict(Odd((set(),)))


@pytest.mark.parametrize(
    ("word", "expected"),
    [
        ("seqformer_tiny", "seqformer-tiny"),
        ("Seqformer-tny", "seqformer-tiny"),
        ("xyz", None),
        ("tran", "train"),
        ("trian", "train"),
        ("rtain", "train"),
        ("trainn", "train"),
        ("track", None),
        ("evlauate", "evaluate"),
        ("evlaute", "evaluate"),
        ("evlt", None),
        ("doctor", None),
        ("seqf", "seqformer-tiny"),
        ("ap", "--aperture"),
        ("a", None),
        ("at", None),
        ("it", None),
        ("ay", "any"),
        ("IN", "in"),
        ("inn", "in"),
        ("", None),
    ],
)
def test_nearest_is_near_in_letters_or_absent(word: str, expected: str | None) -> None:
    allowed = ["seqformer-tiny", "ms-sts-r50", "train", "evaluate", "score", "--aperture", "in", "any"]
    assert nearest(word, allowed) == expected


def test_the_nearest_of_several_is_taken() -> None:
    assert nearest("--model.widht", ["--model.depth", "--model.width", "--model.widths"]) == "--model.width"
    assert nearest("--data", ["--data.root", "--data.split", "--date-format"]) == "--data.root"


def test_a_fault_in_a_record_is_not_blamed_on_the_file() -> None:
    @dataclass(frozen=True)
    class Faulty:
        def __post_init__(self) -> None:
            raise ValueError("a fault of ours")

    with pytest.raises(ValueError, match="a fault of ours") as caught:
        from_dict(Faulty, {})
    assert not isinstance(caught.value, ConfigError)


def test_a_choice_has_the_type_of_the_allowed_one() -> None:
    @dataclass(frozen=True)
    class Choice:
        stride: Literal[1, 2]
        is_on: Literal[True]

    assert from_dict(Choice, {"stride": 1, "is_on": True}) == Choice(1, True)
    for data in ({"stride": True, "is_on": True}, {"stride": 1.0, "is_on": True}, {"stride": 2, "is_on": 1}):
        with pytest.raises(ConfigError, match="is not one of"):
            from_dict(Choice, data)


def test_what_a_record_says_about_its_field_is_told_with_the_whole_path() -> None:
    @dataclass(frozen=True)
    class Inner:
        side: int

        def __post_init__(self) -> None:
            if self.side % 2:
                raise ConfigError("side", "is odd")

    @dataclass(frozen=True)
    class Outer:
        inner: Inner
        parts: tuple[Inner, ...] = ()

    with pytest.raises(ConfigError, match=r"^run\.json\.inner\.side: is odd$"):
        from_dict(Outer, {"inner": {"side": 3}}, path="run.json")
    with pytest.raises(ConfigError, match=r"^parts\[1\]\.side: is odd$"):
        from_dict(Outer, {"inner": {"side": 2}, "parts": [{"side": 2}, {"side": 1}]})


@pytest.mark.parametrize(
    ("path", "expected"),
    [
        ("losses", "loss.weights"),
        ("losses.box", "loss.weights.box"),
        ("losses_box", "losses_box"),
        ("width", "transformer.width"),
        ("other.width", "other.width"),
    ],
)
def test_a_moved_field_takes_what_is_below_it_along(path: str, expected: str) -> None:
    assert new_path(path, {"losses": "loss.weights", "width": "transformer.width"}) == expected
