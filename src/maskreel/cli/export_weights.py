"""`maskreel export-weights RUN OUT`: a model under the names of its official checkpoints."""

import io
import json
from collections.abc import Callable

import torch

from maskreel.checkpoints.dialects.seqformer import to_seqformer
from maskreel.checkpoints.dialects.vistr import to_vistr
from maskreel.checkpoints.foreign import CLASSES
from maskreel.checkpoints.layout import Layout
from maskreel.cli.options import outputs_for, report_json
from maskreel.cli.records.models import ExportWeights
from maskreel.errors import DataError, UsageError
from maskreel.models.folder import load_model, model_folder, read_unused, write_tensors

WRITERS: dict[str, Callable[..., Layout]] = {"seqformer": to_seqformer, "vistr": to_vistr}
"""By kind of model."""
ENDINGS = (".pth", ".safetensors")


def run(args: ExportWeights) -> None:
    """Write the file; raises UsageError for what was typed, DataError for a model that has no published layout."""
    if args.out.suffix not in ENDINGS:
        raise UsageError(f"{args.out}: the name must end in {' or '.join(ENDINGS)}")
    folder = model_folder(args.run)
    outputs = outputs_for(args, folder)
    outputs.claim(args.out, "OUT")
    loaded = load_model(args.run)
    kind = loaded.config.kind
    if kind not in WRITERS:
        raise DataError(
            f"{folder}: a {kind}, of which no checkpoint was ever published; {' and '.join(WRITERS)} have such names"
        )
    layout = WRITERS[kind](loaded.model, read_unused(folder))
    state = {name: entry.values.detach().contiguous() for name, entry in layout.items()}
    # Original code passes over this; `convert` knows from it which logits are used.
    classes = [list(entry) for entry in loaded.classes]
    with outputs.writing(args.out) as path:
        if args.out.suffix == ".pth":
            # Into a path, torch writes its name, too, and a full disk is an error of its own there.
            content = io.BytesIO()
            torch.save({"model": state, CLASSES: classes}, content)
            path.write_bytes(content.getbuffer())
        else:
            # The format knows no second names, so these are written as copies.
            metadata = {"format": "pt", CLASSES: json.dumps(classes)}
            write_tensors({name: values.clone() for name, values in state.items()}, path, metadata=metadata)
    if report_json(args.json, {"out": str(args.out), "kind": kind, "tensors": len(state)}, outputs):
        print(f"{args.out}: {len(state)} tensors under the names of {kind}'s official checkpoints")
