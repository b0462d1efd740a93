"""From a foreign checkpoint to a model of ours, with an account of every tensor on both sides."""

from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass, field, replace
from types import UnionType
from typing import Any, Literal, get_args, get_type_hints

import torch
from torch import Tensor, nn

from maskreel.checkpoints.dialects.catalog import DIALECTS, REFUSALS
from maskreel.checkpoints.dialects.mssts import DiscriminatorConfig
from maskreel.checkpoints.dialects.table import Dialect, State, has_keys
from maskreel.checkpoints.transfer import start_from
from maskreel.config import suggestion, to_dict
from maskreel.criteria.adversarial import Discriminator
from maskreel.errors import DataError, UsageError
from maskreel.models.catalog import CATALOG
from maskreel.models.folder import build_model

AUTO = "auto"
COUNTER = "num_batches_tracked"
"""Of a batch norm; nothing reads it but a momentum that nobody sets."""
HEADS = 8
CLASS_HEAD = "classify"
"""Part of every model that depends on the classes of the data."""
BACKBONE = "backbone"
FAMILIES = ({"seqformer", "ms_sts", "taformer"}, {"vistr", "deformable_vistr", "tt_spn"})
"""Kinds of models that share more than a backbone."""
READS_BACKBONE = ("project.", "pyramid.", "mask_head.fuse.adapters.")
"""Tensors shaped by the channels of a backbone."""
SIZES = ("num_classes", "transformer", "queries", "mask_head")
"""Options of a model that its weights decide, beside the backbone."""
Status = Literal["matched", "renamed", "sliced", "missing"]
STATUSES: tuple[Status, ...] = ("matched", "renamed", "sliced", "missing")


@dataclass(frozen=True, kw_only=True)
class Entry:
    """What became of one of our tensors."""

    name: str
    status: Status
    """Taken under its own name, under another name, taken in part, or not in the file."""
    origin: str | None = None
    """Their name."""
    words: str = ""
    """Which part was taken, or how a missing tensor was initialised."""

    @property
    def group(self) -> str:
        """Part of the model, such as `encoder`."""
        return self.name.split(".")[0]


@dataclass(frozen=True, kw_only=True)
class Remark:
    """What became of one of their tensors, or what cannot be explained."""

    name: str
    reason: str


@dataclass(frozen=True, kw_only=True)
class Report:
    """An account of every tensor of ours and of theirs."""

    source: str
    model: dict[str, Any]
    """Config of the model that was recognised."""
    entries: tuple[Entry, ...]
    dropped: tuple[Remark, ...]
    unexplained: tuple[Remark, ...]

    def counts(self) -> dict[str, dict[Status, int]]:
        """Tensors by part of the model and by what became of them."""
        groups: dict[str, dict[Status, int]] = {}
        for entry in self.entries:
            group = groups.setdefault(entry.group, dict.fromkeys(STATUSES, 0))
            group[entry.status] += 1
        return groups

    def reasons(self) -> Counter[str]:
        """How many tensors were dropped, by reason."""
        return Counter(remark.reason for remark in self.dropped)

    def initialised(self) -> Counter[str]:
        """How many of our tensors were not in the file, by how they were initialised."""
        return Counter(entry.words for entry in self.entries if entry.status == "missing")

    def to_json(self) -> dict[str, Any]:
        """Everything, tensor by tensor."""
        return {
            "source": self.source,
            "model": self.model,
            "groups": self.counts(),
            "tensors": [to_dict(entry) for entry in self.entries],
            "dropped": [to_dict(remark) for remark in self.dropped],
            "unexplained": [to_dict(remark) for remark in self.unexplained],
        }


@dataclass(frozen=True, kw_only=True, eq=False)
class Conversion:
    """Tensors of a checkpoint under our names."""

    dialect: Dialect
    config: Any
    """Of the model that they belong to."""
    taken: dict[str, Tensor]
    report: Report
    unused: dict[str, Tensor] = field(default_factory=dict)
    """What the checkpoint holds beyond that, by its names there; kept for the way back."""

    def check(self, where: object) -> None:
        """DataError, naming `where`, unless every tensor is explained."""
        problems = self.report.unexplained
        if len(problems) > 0:
            more = f" and {len(problems) - 1} more (--report lists all)" if len(problems) > 1 else ""
            raise DataError(
                f"{where}: does not fit {self.dialect.title}: {problems[0].name} {problems[0].reason}{more}"
            )

    def build(self) -> nn.Module:
        """The model with these weights, in evaluation mode; what the checkpoint lacks is drawn with a fixed seed."""
        if any(entry.status == "missing" for entry in self.report.entries):
            with torch.random.fork_rng(devices=()):
                torch.manual_seed(0)
                model = build_converted(self.config)
        else:
            with torch.device("meta"):
                model = build_converted(self.config)
            model = model.to_empty(device="cpu")
        own = model.state_dict()
        with torch.no_grad():
            for name, values in self.taken.items():
                own[name].copy_(values)
        return model.eval()


def build_converted(config: Any) -> nn.Module:
    """A model, or the adversary, which is part of a loss."""
    return Discriminator(config.width) if isinstance(config, DiscriminatorConfig) else build_model(config)


def named_dialect(word: str) -> Dialect | None:
    """The dialect of a name, None for "auto"; UsageError for an unknown word."""
    if word == AUTO:
        return None
    if word not in DIALECTS:
        hint = suggestion(word, DIALECTS, f"known are {AUTO}, {', '.join(DIALECTS)}")
        raise UsageError(f"--from {word!r}: no such system; {hint}")
    return DIALECTS[word]


def find_dialect(names: Iterable[str], wanted: Dialect | None = None) -> Dialect:
    """The kind of a checkpoint with these names, which must be `wanted` where one is given.

    Raises DataError for a file that is nothing known, something else than wanted, or recognised as something that
    Maskreel cannot take.
    """
    names = set(names)
    for refusal in REFUSALS:
        if has_keys(names, refusal.keys, refusal.absent):
            raise DataError(f"it {refusal.needs}")
    found = next((dialect for dialect in DIALECTS.values() if dialect.is_found_in(names)), None)
    if wanted is not None and found is not wanted:
        lacking = [key for key in wanted.keys if key not in names]
        what = f"it has no {lacking[0]}" if lacking else f"it has {min(names & set(wanted.absent))}"
        other = f"; it looks like {found.title} (--from {found.name})" if found else ""
        raise DataError(f"not {wanted.title}: {what}{other}")
    if found is None:
        sample = ", ".join(sorted(names)[:3])
        raise DataError(f"its names ({sample}, ...) fit no system that Maskreel knows: {', '.join(DIALECTS)}")
    return found


def convert_state(state: State, dialect: Dialect, *, heads: int = HEADS, num_classes: int | None = None) -> Conversion:
    """Read a checkpoint as `dialect`; the report lists what cannot be explained, and nothing is raised for it.

    `num_classes` says how many classes a head has whose logits do not. Raises DataError when not even the model can be
    made out.
    """
    state = _with_first_names(state, dialect)
    try:
        config = dialect.config(state, heads, num_classes)
    except KeyError as error:
        raise DataError(f"it has no {error.args[0]}, which {dialect.title} has") from error
    with torch.device("meta"):
        own = build_converted(config).state_dict()
    taken: dict[str, Tensor] = {}
    entries: list[Entry] = []
    unexplained: list[Remark] = []
    for name, like in own.items():
        origin = dialect.origin(name)
        if origin is not None and origin in state:
            values = dialect.read(name, state, config)
            entries.append(_entry(name, origin, dialect, state[origin], values))
            taken[name] = values
            if problem := _misfit(values, like):
                unexplained.append(Remark(name=origin, reason=f"{problem} for {name}"))
        elif reason := dialect.fresh_reason(name):
            entries.append(Entry(name=name, status="missing", words=reason))
        else:
            unexplained.append(Remark(name=origin or name, reason=f"is missing, which {name} is read from"))
    dropped, left = _account_for_rest(state, dialect, {entry.origin for entry in entries})
    report = Report(
        source=dialect.name,
        model=to_dict(config),
        entries=tuple(entries),
        dropped=tuple(dropped),
        unexplained=tuple(unexplained + left),
    )
    unused: dict[str, Tensor] = {}
    if dialect.keeps_unused:
        cut = [entry.origin for entry in entries if entry.status == "sliced" and entry.group == CLASS_HEAD]
        dead = [remark.name for remark in dropped if dialect.drop_reason(remark.name)]
        unused = {name: state[name] for name in (*cut, *dead) if name is not None}
    return Conversion(dialect=dialect, config=config, taken=taken, report=report, unused=unused)


def _with_first_names(state: State, dialect: Dialect) -> dict[str, Tensor]:
    """A tensor that is there under its second name only stands under its first; files may store shared tensors once."""
    named = dict(state)
    for name in state:
        first = dialect.first_name(name, alone=True)
        if first is not None and first not in named:
            named[first] = named.pop(name)
    return named


def _entry(name: str, origin: str, dialect: Dialect, theirs: Tensor, ours: Tensor) -> Entry:
    """How one of our tensors was taken."""
    part = dialect.part(name)
    if part is not None and ours.shape != theirs.shape:
        return Entry(
            name=name,
            status="sliced",
            origin=origin,
            words=f"{part.words} ({list(theirs.shape)} to {list(ours.shape)})",
        )
    return Entry(name=name, status="matched" if name == origin else "renamed", origin=origin)


def _misfit(values: Tensor, like: Tensor) -> str:
    """What keeps `values` from standing where `like` stands; empty when nothing does."""
    if values.shape != like.shape:
        return f"has shape {list(values.shape)} instead of {list(like.shape)}"
    if values.is_floating_point() != like.is_floating_point():
        return f"holds {str(values.dtype).removeprefix('torch.')} instead of {str(like.dtype).removeprefix('torch.')}"
    return ""


def _account_for_rest(state: State, dialect: Dialect, used: set[str | None]) -> tuple[list[Remark], list[Remark]]:
    """Why the tensors that were not used are not needed, and those of which that cannot be said."""
    dropped, unexplained = [], []
    for name, values in state.items():
        if name in used:
            continue
        first = dialect.first_name(name)
        if reason := dialect.drop_reason(name):
            dropped.append(Remark(name=name, reason=reason))
        elif name.endswith(COUNTER) and f"{name.removesuffix(COUNTER)}running_var" in used:
            dropped.append(Remark(name=name, reason="counter of batch norm in training; ours is frozen"))
        elif first is not None and first in used:
            if torch.equal(values.nan_to_num(), state[first].nan_to_num()):
                dropped.append(Remark(name=name, reason="second name of a tensor that was taken"))
            else:
                unexplained.append(Remark(name=name, reason=f"differs from {first}, whose second name it is"))
        else:
            unexplained.append(Remark(name=name, reason="is left over: nothing in the model corresponds to it"))
    return dropped, unexplained


def are_related(kind: str, other: str) -> bool:
    """Whether models of two kinds share more than a backbone."""
    return kind == other or any({kind, other} <= family for family in FAMILIES)


def shared_tensors(taken: State, given: Any, wanted: Any) -> dict[str, Tensor]:
    """The tensors of a model that mean the same in a model of another config: in relatives all but those that another
    kind of backbone makes useless, else those of the backbone."""
    prefixes: tuple[str, ...] = ()
    if not are_related(given.kind, wanted.kind):
        return {name: values for name, values in taken.items() if name.startswith(f"{BACKBONE}.")}
    if type(given.backbone) is not type(wanted.backbone):
        prefixes = (f"{BACKBONE}.", *READS_BACKBONE)
    return {name: values for name, values in taken.items() if not name.startswith(prefixes)}


def convert_for(conversion: Conversion, kind: str) -> Conversion:
    """The same weights in a model of another kind, as far as it has a place for them; the rest of it is new.

    Raises DataError when the two have nothing in common.
    """
    native = conversion.config.kind
    if kind == native:
        return conversion
    config = _config_of_kind(conversion, kind)
    shared = shared_tensors(conversion.taken, conversion.config, config)
    with torch.device("meta"):
        transfer = start_from(build_model(config), shared)
    if not transfer.taken:
        raise DataError(f"{conversion.dialect.title} has nothing that a model of kind {kind} could start from")
    absent = f"not in {conversion.dialect.title}: drawn as in a new model"
    known = {entry.name: entry for entry in conversion.report.entries}
    entries, misfits = [known[name] for name in transfer.taken], []
    for name in transfer.new:
        if name in shared:
            misfits.append(Remark(name=name, reason=f"of a {native} has another shape in a {kind}"))
        elif name in known and known[name].status == "missing":
            entries.append(known[name])
        else:
            entries.append(Entry(name=name, status="missing", words=absent))
    without = [str(known[name].origin) for name in conversion.taken if name not in transfer.taken]
    placeless = [Remark(name=name, reason=f"a {kind} has no place for it") for name in dict.fromkeys(without)]
    report = replace(
        conversion.report,
        model=to_dict(config),
        entries=tuple(entries),
        dropped=(*conversion.report.dropped, *placeless),
        unexplained=(*conversion.report.unexplained, *misfits),
    )
    taken = {name: shared[name] for name in transfer.taken}
    return Conversion(dialect=conversion.dialect, config=config, taken=taken, report=report)


def _config_of_kind(conversion: Conversion, kind: str) -> Any:
    """A config of another kind with what the weights decide."""
    given, config = conversion.config, CATALOG[kind].config
    options: dict[str, Any] = {}
    is_backbone_alone = all(name.startswith(f"{BACKBONE}.") for name in conversion.taken)
    if are_related(given.kind, kind) and not is_backbone_alone:
        options = {name: getattr(given, name) for name in SIZES if hasattr(given, name) and hasattr(config, name)}
    hint, default = get_type_hints(config)[BACKBONE], config().backbone
    if isinstance(given.backbone, get_args(hint) if isinstance(hint, UnionType) else hint):
        backbone = given.backbone
        is_alike = type(default) is type(backbone) and hasattr(default, "padding")
        options[BACKBONE] = replace(backbone, padding=default.padding) if is_alike else backbone
    return config(**options)
