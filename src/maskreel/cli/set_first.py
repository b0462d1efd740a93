"""The words after `data synth`: a named set comes first, because it supplies the defaults of all dials."""

from collections.abc import Sequence

from maskreel.cli.options import parse_options
from maskreel.cli.records.data import Synth
from maskreel.config import suggestion
from maskreel.errors import UsageError
from maskreel.rendered.dials import SyntheticDials
from maskreel.rendered.sets import RENDERED_SETS


def parse(words: Sequence[str]) -> Synth:
    """Options of `data synth`; UsageError for a set that there is not."""
    named = [words[k + 1] for k, word in enumerate(words[:-1]) if word == "--set"]
    named += [word.removeprefix("--set=") for word in words if word.startswith("--set=")]
    if named and named[-1] not in RENDERED_SETS:
        hint = suggestion(named[-1], RENDERED_SETS, f"there are {', '.join(RENDERED_SETS)}")
        raise UsageError(f"--set {named[-1]!r} is no rendered set; {hint}")
    dials = RENDERED_SETS[named[-1]].dials if named else SyntheticDials()
    return parse_options(Synth, words, "data synth", default=Synth(dials=dials))
