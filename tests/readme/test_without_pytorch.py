"""The fifteen lines of docs/without-pytorch.md find what Maskreel finds."""

import re
import subprocess
import sys
from pathlib import Path

import numpy as np
import torch

from maskreel.inference.predictor import VideoPredictor
from maskreel.rendered.dials import SyntheticDials
from maskreel.rendered.rendering import render_video
from maskreel.structures import Clip
from maskreel.video.prepare import pad_clips
from tests.export.plain import SIZE, write_plain

PAGE = (Path(__file__).parents[2] / "docs" / "without-pytorch.md").read_text()
REPORT = """
import sys
assert not {"torch", "maskreel"} & set(sys.modules), "neither is needed"
np.savez("objects.npz", ids=ids, labels=[label for label, _ in objects.values()],
         masks=np.stack([mask for _, mask in objects.values()]))
"""


def test_fifteen_lines_of_numpy_find_the_objects(tmp_path: Path) -> None:
    (lines,) = re.findall(r"```python\n(.*?)```", PAGE, flags=re.DOTALL)
    assert len([line for line in lines.splitlines() if line and not line.startswith("import")]) <= 15
    model = write_plain(tmp_path / "model-onnx")
    height, width = SIZE
    video = np.stack(list(render_video(3, 0, SyntheticDials(frames=4, height=height, width=width)).frames))
    np.save(tmp_path / "frames.npy", video)
    lines = lines.replace(">= 0.3", ">= 0.0")
    subprocess.run([sys.executable, "-c", lines + REPORT], cwd=tmp_path, check=True, timeout=300)
    found = np.load(tmp_path / "objects.npz")

    runtime = VideoPredictor.load(model).runtime
    frames = torch.from_numpy(video).permute(0, 3, 1, 2)
    clip = Clip(frames=frames, frame_index=torch.arange(4), video_id=0, size=SIZE)
    prediction = runtime.clip(runtime.frame_features(pad_clips([clip])))
    logits = prediction.final.class_logits[0, :, 0]
    masks = runtime.masks(prediction, 0, torch.arange(len(logits))) > 0
    assert found["ids"].tolist() == list(range(len(logits)))
    assert found["labels"].tolist() == logits.argmax(-1).tolist()
    assert masks.any()
    assert (found["masks"] != masks.numpy()).mean() <= 1e-4
