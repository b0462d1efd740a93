"""Which videos are held out for validation."""

from collections import Counter

import numpy as np
import pytest

from maskreel.data.hold_out import classes_by_video, divided, held_out


def random_classes(seed: int, num_videos: int = 200) -> dict[int, Counter[int]]:
    """Many tracks of class 1, some of class 2, few of class 3; one video in ten has none."""
    rng = np.random.default_rng(seed)
    classes = {}
    for video in range(1, num_videos + 1):
        labels = [] if video % 10 == 0 else rng.choice([1, 2, 3], size=rng.integers(1, 5), p=[0.8, 0.15, 0.05]).tolist()
        classes[video] = Counter(labels)
    return classes


@pytest.mark.parametrize("share", [0.1, 0.25, 0.5])
@pytest.mark.parametrize("seed", range(3))
def test_every_class_keeps_its_share(seed: int, share: float) -> None:
    classes = random_classes(seed)
    chosen = held_out(classes, share=share, seed=seed)
    assert len(chosen) == round(share * len(classes))
    total, held = sum(classes.values(), Counter()), sum((classes[video] for video in chosen), Counter())
    for label, count in total.items():
        assert held[label] == pytest.approx(share * count, abs=max(3, 0.12 * share * count))


def test_the_order_of_the_file_changes_nothing_and_the_seed_does() -> None:
    classes = random_classes(0)
    backwards = dict(reversed(classes.items()))
    assert held_out(classes, share=0.2, seed=0) == held_out(backwards, share=0.2, seed=0)
    assert held_out(classes, share=0.2, seed=0) != held_out(classes, share=0.2, seed=1)


def test_a_class_that_one_video_shows_stays_in_training() -> None:
    classes = {video: Counter({1: 1}) for video in range(1, 10)} | {10: Counter({1: 1, 2: 3})}
    assert all(10 not in held_out(classes, share=0.5, seed=seed) for seed in range(20))


def test_the_two_parts_hold_everything_once() -> None:
    document = {
        "info": {"year": 2019},
        "categories": [{"id": 1, "name": "cat"}],
        "videos": [{"id": video} for video in (1, 2, 3)],
        "annotations": [{"id": 5, "video_id": 2, "category_id": 1}, {"id": 6, "video_id": 3, "category_id": 1}],
    }
    assert classes_by_video(document) == {1: Counter(), 2: Counter({1: 1}), 3: Counter({1: 1})}
    fit, held = divided(document, {2})
    assert [video["id"] for video in fit["videos"]] == [1, 3]
    assert [track["id"] for track in fit["annotations"]] == [6]
    assert held == {**document, "videos": [{"id": 2}], "annotations": document["annotations"][:1]}
