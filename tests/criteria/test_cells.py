"""The loss on cells of a map against a loop over them."""

import math
from typing import Any

import pytest
import torch

from maskreel.criteria import cells as module
from maskreel.criteria.cells import CellLoss, classes_of_cells
from maskreel.structures import ClipTarget, FeatureMap

STRIDE, ROWS, COLUMNS, FRAMES, CLASSES = 4, 3, 5, 2, 3


def target(labels: list[int], height: int, width: int, seed: int) -> ClipTarget:
    """Objects that share no pixel, one of them absent from the last frame."""
    generator = torch.Generator().manual_seed(seed)
    owner = torch.randint(len(labels) + 1, (FRAMES, height // 2 + 1, width // 2 + 1), generator=generator)
    owner = owner.repeat_interleave(2, 1).repeat_interleave(2, 2)[:, :height, :width]
    masks = torch.stack([owner == number + 1 for number in range(len(labels))])
    masks[0, -1] = False
    return ClipTarget(
        labels=torch.tensor(labels),
        boxes=torch.zeros(len(labels), FRAMES, 4),
        masks=masks,
        is_visible=masks.flatten(2).any(-1),
        track_id=torch.arange(len(labels)),
    )


@pytest.fixture
def cells() -> FeatureMap:
    """Two clips; the second is of 9 x 14 pixels and padded to the 12 x 20 of the first."""
    is_padding = torch.zeros(2, FRAMES, ROWS, COLUMNS, dtype=torch.bool)
    is_padding[1, :, :, 4:] = True
    values = torch.randn(2, FRAMES, 6, ROWS, COLUMNS, generator=torch.Generator().manual_seed(0))
    return FeatureMap(values=values, is_padding=is_padding, stride=STRIDE)


@pytest.fixture
def targets() -> list[ClipTarget]:
    return [target([2, 0], 12, 20, 1), target([1, 1, 2], 9, 14, 2)]


def expected_class(target: ClipTarget, frame: int, row: int, column: int) -> int:
    y, x = row * STRIDE + STRIDE // 2, column * STRIDE + STRIDE // 2
    for label, mask in zip(target.labels.tolist(), target.masks, strict=True):
        if y < mask.shape[-2] and x < mask.shape[-1] and mask[frame, y, x]:
            return label
    return CLASSES


def every_cell() -> list[tuple[int, int, int]]:
    return [(t, row, column) for t in range(FRAMES) for row in range(ROWS) for column in range(COLUMNS)]


def test_a_cell_has_the_class_of_the_object_at_its_centre(cells: FeatureMap, targets: list[ClipTarget]) -> None:
    found = classes_of_cells(cells, targets, CLASSES)
    for clip, one in enumerate(targets):
        for t, row, column in every_cell():
            assert found[clip, t, row, column] == expected_class(one, t, row, column)
    assert {0, 1, 2, CLASSES} == set(found.unique().tolist())


def test_the_loss_is_the_weighted_mean_over_cells_that_are_read(
    cells: FeatureMap, targets: list[ClipTarget], monkeypatch: pytest.MonkeyPatch
) -> None:
    told: list[Any] = []

    def half(counted: torch.Tensor) -> float:
        told.append(counted.item())
        return 0.5

    monkeypatch.setattr(module, "share_of", half)
    torch.manual_seed(0)
    loss = CellLoss(6, CLASSES, weight=3.0)
    total = importance = 0.0
    for clip, one in enumerate(targets):
        for t, row, column in every_cell():
            if cells.is_padding[clip, t, row, column]:
                continue
            label = expected_class(one, t, row, column)
            logits = loss.classify(cells.values[clip, t, :, row, column]).tolist()
            weight = 0.2 if label == CLASSES else 1.0
            total += weight * (math.log(sum(map(math.exp, logits))) - logits[label])
            importance += weight
    assert loss(cells, targets).item() == pytest.approx(3.0 * 0.5 * total / importance, rel=1e-5)
    assert told == [pytest.approx(importance, rel=1e-5)]


def test_clips_without_objects_teach_that_nothing_is_there(cells: FeatureMap) -> None:
    empty = [_without_objects(12, 20), _without_objects(9, 14)]
    assert (classes_of_cells(cells, empty, CLASSES) == CLASSES).all()
    assert torch.isfinite(CellLoss(6, CLASSES, weight=1.0)(cells, empty))


def _without_objects(height: int, width: int) -> ClipTarget:
    return ClipTarget(
        labels=torch.zeros(0, dtype=torch.long),
        boxes=torch.zeros(0, FRAMES, 4),
        masks=torch.zeros(0, FRAMES, height, width, dtype=torch.bool),
        is_visible=torch.zeros(0, FRAMES, dtype=torch.bool),
        track_id=torch.zeros(0, dtype=torch.long),
    )
