"""Starting a training from weights: a foreign file, a run, or a model folder, with an account of what was taken."""

from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from maskreel.checkpoints.class_names import Classes, are_numbered, numbered
from maskreel.checkpoints.conversion import (
    BACKBONE,
    CLASS_HEAD,
    HEADS,
    Conversion,
    are_related,
    convert_state,
    find_dialect,
    shared_tensors,
)
from maskreel.checkpoints.dialects.mssts import DiscriminatorConfig
from maskreel.checkpoints.dialects.table import Dialect, State
from maskreel.checkpoints.foreign import read_foreign
from maskreel.checkpoints.transfer import start_from
from maskreel.config import from_dict
from maskreel.criteria.adversarial import AdversarialLoss
from maskreel.errors import DataError, OptionError
from maskreel.files import check_sums, read_json
from maskreel.models.catalog import ModelConfig
from maskreel.models.folder import build_criterion, build_model, is_bundled, load_model, model_folder, read_tensors

COUNTER = "num_batches_tracked"
"""Of batch norm in training; frozen weights have none."""


@dataclass(frozen=True, kw_only=True, eq=False)
class Initial:
    """Weights to start from, under our names."""

    where: str
    """As it was typed."""
    title: str
    """What it is."""
    config: Any
    """Of the model that the weights come from."""
    tensors: dict[str, Tensor]
    new: frozenset[str] = frozenset()
    """Tensors of that model that a foreign file lacks by its nature."""
    classes: Classes = ()


@dataclass(frozen=True, kw_only=True, eq=False)
class Start:
    """Which weights a model starts from, and what becomes of all the others."""

    initial: Initial
    tensors: dict[str, Tensor]
    """What the model takes, or its adversary."""
    taken: tuple[str, ...] = ()
    new: tuple[str, ...] = ()
    """Tensors of the model that are drawn as without initial weights."""
    unused: tuple[str, ...] = ()
    """Tensors of the initial weights that have no place in the model."""
    notes: tuple[str, ...] = field(default=())
    """Sentences about classes and parts."""

    @property
    def is_for_adversary(self) -> bool:
        return isinstance(self.initial.config, DiscriminatorConfig)

    @torch.no_grad()
    def fill(self, model: nn.Module, criterion: nn.Module) -> None:
        """Put the weights into a model, or into the adversary in its loss."""
        if self.is_for_adversary:
            assert isinstance(criterion, AdversarialLoss), "fit() has seen the same config"
            criterion.discriminator.load_state_dict(self.tensors)
        else:
            start_from(model, self.tensors)

    def lines(self) -> list[str]:
        """The account, for people."""
        lines = [f"initial weights: {self.initial.where} ({self.initial.title})", f"  taken: {_counted(self.taken)}"]
        lines += [f"  {note}" for note in self.notes]
        if self.new:
            lines.append(f"  not in it, drawn as in a new model: {_counted(self.new)}")
        if self.unused:
            lines.append(f"  without a place in this model: {_counted(self.unused)}")
        return lines

    def to_json(self) -> dict[str, Any]:
        """The account, tensor by tensor."""
        return {
            "weights": self.initial.where,
            "source": self.initial.title,
            "notes": list(self.notes),
            "taken": list(self.taken),
            "new": list(self.new),
            "unused": list(self.unused),
        }


def read_initial(where: str, *, heads: int = HEADS) -> Initial:
    """Weights of a foreign file, a run folder, a model folder, or "bundled".

    Raises UsageError when there is nothing of that name, DataError when it cannot be used.
    """
    path = Path(where)
    if is_bundled(where) or path.is_dir():
        return _read_folder(where)
    state = read_foreign(path)
    try:
        dialect = find_dialect(state)
        conversion = _convert(state, dialect, heads)
    except (DataError, OptionError) as error:
        raise DataError(f"{where}: {error}") from error
    conversion.check(where)
    return Initial(
        where=where,
        title=dialect.title,
        config=conversion.config,
        tensors=conversion.taken,
        new=frozenset(entry.name for entry in conversion.report.entries if entry.status == "missing"),
        classes=numbered(getattr(conversion.config, "num_classes", 0)),
    )


def _convert(state: State, dialect: Dialect, heads: int) -> Conversion:
    """With as many heads as the model has, or as published where those do not fit: then sizes differ, and `fit` says
    which."""
    try:
        return convert_state(state, dialect, heads=heads)
    except (DataError, OptionError):
        return convert_state(state, dialect, heads=HEADS)


def _read_folder(where: str) -> Initial:
    folder = model_folder(where)
    description = read_json(folder / "config.json").get("model")
    if isinstance(description, dict) and description.get("kind") == DiscriminatorConfig().kind:
        check_sums(folder, required=("config.json", "model.safetensors"))
        config = from_dict(DiscriminatorConfig, description, f"{folder / 'config.json'}: model")
        return Initial(
            where=where,
            title="the adversary of an MS-STS VIS",
            config=config,
            tensors=read_tensors(folder / "model.safetensors"),
        )
    loaded = load_model(where)
    return Initial(
        where=where,
        title=f"a model of kind {loaded.config.kind}",
        config=loaded.config,
        tensors=dict(loaded.model.state_dict()),
        classes=loaded.classes,
    )


def fit(initial: Initial, config: ModelConfig, classes: Classes) -> Start:
    """What a model of `config` for these classes takes from initial weights; nothing is built.

    The class head is left out when the classes differ. Raises DataError for a tensor that has another shape in the
    model, for another backbone of the same kind, and when there is nothing to take.
    """
    if isinstance(initial.config, DiscriminatorConfig):
        return _fit_adversary(initial, config)
    tensors = shared_tensors(initial.tensors, initial.config, config)
    notes = []
    if not are_related(initial.config.kind, config.kind):
        notes.append(f"a {config.kind} shares no more than the backbone with a {initial.config.kind}")
    elif len(tensors) < len(initial.tensors):
        notes.append(f"another backbone: {initial.config.backbone.kind} there, {config.backbone.kind} here")
    if any(_is_class_head(name) for name in tensors):
        note, is_same = _compare_classes(initial.classes, classes)
        notes += [note] if note else []
        tensors = {name: values for name, values in tensors.items() if is_same or not _is_class_head(name)}
    with torch.device("meta"):
        model = build_model(config)
    transfer = start_from(model, tensors)
    _check_backbone(initial, config, model, tensors)
    own = model.state_dict()
    if wrong := [name for name in transfer.new if name in tensors]:
        shapes = f"{list(tensors[wrong[0]].shape)} in it and {list(own[wrong[0]].shape)} here"
        raise DataError(
            f"{initial.where}: {wrong[0]} has shape {shapes} ({len(wrong)} tensors differ); give the model the same "
            "sizes with --model options, or take other weights"
        )
    if not transfer.taken:
        raise DataError(f"{initial.where}: {initial.title} has nothing that a {config.kind} could start from")
    return Start(
        initial=initial,
        tensors={name: tensors[name] for name in transfer.taken},
        taken=transfer.taken,
        new=transfer.new,
        unused=tuple(name for name in initial.tensors if name not in set(transfer.taken)),
        notes=tuple(notes),
    )


def _fit_adversary(initial: Initial, config: ModelConfig) -> Start:
    with torch.device("meta"):
        criterion = build_criterion(config)
    if not isinstance(criterion, AdversarialLoss):
        raise DataError(f"{initial.where}: weights of an adversary, and a {config.kind} as it is configured has none")
    own = criterion.discriminator.state_dict()
    if any(name not in initial.tensors or own[name].shape != initial.tensors[name].shape for name in own):
        raise DataError(
            f"{initial.where}: an adversary of width {initial.config.width}, "
            f"where the model has width {config.transformer.width}"
        )
    return Start(initial=initial, tensors=initial.tensors, taken=tuple(own), notes=("loaded into the adversary",))


def _is_class_head(name: str) -> bool:
    return name.startswith(f"{CLASS_HEAD}.")


def _compare_classes(theirs: Classes, ours: Classes) -> tuple[str, bool]:
    """A note, and whether a head for their classes is one for ours."""
    if are_numbered(theirs) and len(theirs) == len(ours):
        return f"class head: taken; nothing says which {len(theirs)} classes it is for, or in which order", True
    if [name.casefold() for _, name in theirs] == [name.casefold() for _, name in ours]:
        return "", True
    return f"class head: drawn anew, for its {len(theirs)} classes are not the {len(ours)} of the data", False


def _check_backbone(initial: Initial, config: ModelConfig, model: nn.Module, tensors: dict[str, Tensor]) -> None:
    """DataError for half a backbone: one of the same kind with other layers."""
    if type(initial.config.backbone) is not type(config.backbone):
        return
    theirs, ours = _backbone_names(tensors), _backbone_names(model.state_dict())
    if theirs and (theirs - ours or ours - theirs - initial.new):
        raise DataError(
            f"{initial.where}: its backbone is {initial.config.backbone}, the model's {config.backbone}; "
            "make them the same with --model.backbone options"
        )


def _backbone_names(names: Iterable[str]) -> set[str]:
    return {name for name in names if name.startswith(f"{BACKBONE}.") and not name.endswith(COUNTER)}


def _counted(names: Iterable[str]) -> str:
    groups = Counter(name.split(".")[0] for name in names)
    return f"{sum(groups.values())} tensors ({', '.join(f'{count} of {group}' for group, count in groups.items())})"
