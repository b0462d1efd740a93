"""What tyro refuses, in our words.

tyro tells a structured event to a hook before it draws a frame around it. Hook and events are private to tyro (1.0.17),
so they are known here alone; where another version lacks them, a refusal is still one sentence, only less exact.
"""

import contextlib
import re
import sys
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Annotated, Any

import tyro

from maskreel.config import nearest, suggestion
from maskreel.errors import OptionError, UsageError

OTHER_NAMES = {
    "fps": "frame-rate",
    "framerate": "frame-rate",
    "output": "out",
    "output-dir": "out",
    "threshold": "min-score",
    "conf": "min-score",
    "force": "overwrite",
    "resolution": "short-side",
}
"""What other tools call an option, which no spelling tells."""

WORDS = {
    "INT": "an integer",
    "FLOAT": "a number",
    "PATH": "a path",
    "STR": "a word",
    "RATE": "frames per second from 0.001 to 1000, such as 25, 29.97 or 30000/1001",
}
"""tyro's names of types, as a person says them."""


@dataclass(frozen=True)
class Typed:
    """A command line as it was typed, and what it was typed for."""

    record: Any
    """The record of options, or a union of such."""
    default: Any
    words: Sequence[str]
    prog: str


@contextlib.contextmanager
def refused_in_our_words(typed: Typed) -> Iterator[None]:
    """Around `tyro.cli`: what it refuses becomes a UsageError; a fault inside a record's own checks stays itself."""

    def refuse(event: Any) -> None:
        _reraise_internal(event)
        raise UsageError(_sentence(event, typed))

    try:
        from tyro._errors import on_parse_error
    except ImportError:
        hook: Any = contextlib.nullcontext()
    else:
        hook = on_parse_error(refuse)
    try:
        with hook:
            yield
    except SystemExit as request:
        if request.code in (0, None):
            raise
        line = " ".join(typed.words)
        raise UsageError(f"cannot understand {line!r}; {typed.prog} --help lists what can be typed") from None


def known_arguments(record: Any, default: Any) -> list[Any]:
    """Every argument that `tyro.cli` would take for a record, as tyro's `ArgumentDefinition`s."""
    from tyro import _parsers

    marked: Any = Annotated[record, tyro.conf.AvoidSubcommands]
    spec = _parsers.ParserSpecification.from_callable_or_type(
        marked,
        markers=set(),
        description=None,
        parent_classes=set(),
        default_instance=default,
        intern_prefix="",
        extern_prefix="",
        subcommand_prefix="",
        support_single_arg_types=False,
        prog_suffix="",
    )
    return [entry.arg for entry in spec.get_args_including_children()]


def _flags(typed: Typed) -> list[str]:
    """Every option by every name."""
    from tyro import _arguments

    flags = []
    for argument in known_arguments(typed.record, typed.default):
        if not argument.is_positional():
            flags += argument.lowered.name_or_flags
            if argument.lowered.action == "boolean_optional_action":
                inverses = map(_arguments.flag_to_inverse, argument.lowered.name_or_flags)
                flags += [inverse for inverse in inverses if inverse]
    return flags


def _reraise_internal(event: Any) -> None:
    """tyro takes any ValueError of a record's constructor for a refusal; one that is not ours is a fault."""
    if type(event).__name__ != "InstantiationFailure" or event.argument is not None:
        return
    error = sys.exception()
    cause = error.__context__ if error is not None and not isinstance(error, ValueError) else error
    if isinstance(cause, ValueError) and not isinstance(cause, OptionError):
        raise cause


def _sentence(event: Any, typed: Typed) -> str:
    match type(event).__name__:
        case "UnrecognizedArgs":
            return _unknown(event.tokens, typed)
        case "MissingArgs":
            if any(token.startswith("--") for token in event.unrecognized_tokens):
                return _unknown(event.unrecognized_tokens, typed)
            lacking = "; ".join(_with_help(entry.arg) for entry in event.missing_arguments)
            return f"{typed.prog} needs {lacking}; see {typed.prog} --help"
        case "InvalidChoice":
            hint = suggestion(event.value, event.choices, f"choose one of {', '.join(event.choices)}")
            return f"{_name(event.argument)} {event.value!r}: no such choice; {hint}"
        case "BadValue":
            if event.argument.is_positional():
                return f"{typed.prog} needs {_with_help(event.argument)}; see {typed.prog} --help"
            return f"{_name(event.argument)} needs {_wanted(event.argument)} after it; see {typed.prog} --help"
        case "InstantiationFailure":
            if event.argument is None:
                return _of_record(event.message, typed)
            value = _value(event.argument, typed.words)
            return f"{_name(event.argument)}{value}: expected {_wanted(event.argument)}; see {typed.prog} --help"
        case other:
            return f"cannot understand {' '.join(typed.words)!r} ({other}); see {typed.prog} --help"


def _unknown(tokens: Sequence[str], typed: Typed) -> str:
    option = next((token for token in tokens if token.startswith("-")), None)
    if option is None:
        return f"{tokens[0]!r}: no place for this word; {typed.prog} --help says what may be typed"
    option = option.partition("=")[0]
    close = _near_option(option, _flags(typed))
    hint = f"did you mean {close}?" if close else f"{typed.prog} --help lists the options"
    return f"unknown option {option}; {hint}"


def _near_option(option: str, flags: Sequence[str]) -> str | None:
    """The near option; one of another path where its last name alone is near."""
    same = f"--{OTHER_NAMES.get(option.lstrip('-').replace('_', '-'))}"
    if same in flags:
        return same
    leaves: dict[str, str] = {}
    for flag in flags:
        leaves.setdefault(flag.rpartition(".")[2].lstrip("-"), flag)
    leaf = nearest(option.rpartition(".")[2], leaves)
    return nearest(option, flags) or (leaves[leaf] if leaf else None)


def _of_record(message: str, typed: Typed) -> str:
    """The sentence of a record about one of its fields, with the option's name in place of the field's."""
    prefix = getattr(sys.exception(), "arg", "")
    field, _, rest = message.partition(" ")
    option = f"--{prefix}.{field}" if isinstance(prefix, str) and prefix else f"--{field}"
    option = option.replace("_", "-")
    return f"{option} {rest}" if option in _flags(typed) else message


def _name(argument: Any) -> str:
    if not argument.is_positional():
        return argument.lowered.name_or_flags[0]
    return argument.field.argconf.metavar or argument.lowered.name_or_flags[-1].upper()


def _with_help(argument: Any) -> str:
    text: Any = argument.field.helptext
    text = text() if callable(text) else text
    text = " ".join((text or "").split()).removesuffix(".")
    return f"{_name(argument)} ({text[0].lower()}{text[1:]})" if text else _name(argument)


def _wanted(argument: Any) -> str:
    if argument.lowered.choices:
        return f"one of {', '.join(argument.lowered.choices)}"
    metavar = str(argument.lowered.metavar)
    names = [WORDS[name] for name in re.findall(r"\b[A-Z]+\b", metavar) if name in WORDS]
    if not names:
        return metavar
    if "..." in metavar:
        return f"{names[0].partition(' ')[2]}s" if names[0] != "a path" else "paths"
    return " and ".join(names) + (" or None" if "None" in metavar else "")


def _value(argument: Any, words: Sequence[str]) -> str:
    """What was typed after an option, with a space before it; empty for a positional argument."""
    names = {name.replace("_", "-") for name in argument.lowered.name_or_flags}
    value = ""
    for place, word in enumerate(words):
        option, has_value, attached = word.partition("=")
        if option.startswith("--") and option.replace("_", "-") in names:
            count = argument.lowered.nargs if isinstance(argument.lowered.nargs, int) else 1
            value = attached if has_value else " ".join(words[place + 1 : place + 1 + count])
    return f" {value}" if value else ""
