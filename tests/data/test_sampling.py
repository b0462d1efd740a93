"""Which frames make a clip, and in which order clips come."""

import itertools

import numpy as np
import pytest

from maskreel.data.sampling import ClipSampler, ClipToken, clip_generator, sample_clip


def generators(count: int) -> list[np.random.Generator]:
    return [np.random.default_rng(seed) for seed in range(count)]


def take(sampler: ClipSampler, count: int) -> list[list[ClipToken]]:
    return list(itertools.islice(sampler, count))


@pytest.mark.parametrize("num_frames", [1, 2, 3, 4, 5, 36])
@pytest.mark.parametrize("length", [1, 2, 3, 5, 12, 50])
def test_clips_have_the_asked_length_in_time_order_and_hold_their_anchor(num_frames, length):
    for generator in generators(20):
        anchor = int(generator.integers(length))
        clip = sample_clip(length, anchor, num_frames, generator)
        assert len(clip) == num_frames
        assert list(clip) == sorted(clip)
        assert anchor in clip
        assert 0 <= clip[0] <= clip[-1] < length


def test_one_frame_is_the_anchor():
    assert sample_clip(9, 4, 1, np.random.default_rng(0)) == (4,)


def test_two_frames_are_the_anchor_and_a_neighbour_at_one_to_three_frames():
    clips = {sample_clip(20, 10, 2, generator) for generator in generators(200)}
    assert clips == {(7, 10), (8, 10), (9, 10), (10, 11), (10, 12), (10, 13)}


def test_two_frames_at_a_border_differ():
    assert {sample_clip(20, 0, 2, generator) for generator in generators(100)} == {(0, 1), (0, 2), (0, 3)}


def test_three_frames_are_the_anchor_between_two_neighbours():
    clips = {sample_clip(20, 10, 3, generator) for generator in generators(400)}
    assert clips == {(10 - before, 10, 10 + after) for before in (1, 2, 3) for after in (1, 2, 3)}


def test_neighbours_are_held_inside_the_video():
    assert {sample_clip(2, 0, 3, generator) for generator in generators(50)} == {(0, 0, 1)}


def test_the_other_frames_are_drawn_outside_the_local_span_without_repetition():
    drawn = set()
    for generator in generators(300):
        clip = sample_clip(30, 15, 5, generator)
        assert len(set(clip)) == 5
        local = [frame for frame in clip if 12 <= frame <= 18]
        place = local.index(15)
        # The neighbours are the frames next to the anchor in the clip: nothing else lies inside their span.
        assert place > 0
        assert place < len(local) - 1
        drawn.update(set(clip) - {15, local[place - 1], local[place + 1]})
    assert drawn == set(range(30)) - set(range(14, 17))


def test_too_few_frames_outside_the_span_means_all_frames():
    clips = [sample_clip(5, 2, 6, generator) for generator in generators(200)]
    assert all(2 in clip for clip in clips)
    assert any(len(set(clip)) < 5 for clip in clips)
    assert {frame for clip in clips for frame in clip} == set(range(5))


def test_very_short_videos_are_repeated_evenly():
    clip = sample_clip(4, 1, 36, np.random.default_rng(3))
    rest_per_frame = (36 - 3) // 4
    counts = [clip.count(frame) for frame in range(4)]
    assert min(counts) >= rest_per_frame
    assert max(counts) <= rest_per_frame + 1 + 3


@pytest.mark.parametrize(("anchor", "num_frames", "message"), [(5, 3, "anchor 5"), (-1, 3, "anchor -1"), (0, 0, "0 f")])
def test_impossible_clips_are_refused(anchor, num_frames, message):
    with pytest.raises(ValueError, match=message):
        sample_clip(5, anchor, num_frames, np.random.default_rng(0))


def test_draws_of_a_clip_depend_on_seed_and_token_only():
    def draw(seed: int, epoch: int, index: int) -> float:
        return clip_generator(seed, ClipToken(epoch=epoch, index=index)).random()

    values = [draw(seed, epoch, index) for seed in range(3) for epoch in range(3) for index in range(3)]
    assert len(set(values)) == 27
    assert draw(2, 1, 0) == values[2 * 9 + 3]


def test_every_epoch_holds_every_clip_once_in_another_order():
    sampler = ClipSampler(12, batch_size=3, seed=5)
    tokens = list(itertools.chain.from_iterable(take(sampler, 8)))
    first, second = [token.index for token in tokens[:12]], [token.index for token in tokens[12:]]
    assert sorted(first) == sorted(second) == list(range(12))
    assert first != second
    assert [token.epoch for token in tokens] == [0] * 12 + [1] * 12


def test_batches_run_across_the_end_of_an_epoch():
    tokens = list(itertools.chain.from_iterable(take(ClipSampler(5, batch_size=4, seed=0), 5)))
    assert [token.epoch for token in tokens] == [place // 5 for place in range(20)]
    for epoch in range(4):
        assert sorted(token.index for token in tokens if token.epoch == epoch) == list(range(5))


def test_one_clip_fills_a_larger_batch():
    (batch,) = take(ClipSampler(1, batch_size=3, seed=0), 1)
    assert batch == [ClipToken(epoch=epoch, index=0) for epoch in range(3)]


def test_another_seed_is_another_order():
    assert take(ClipSampler(50, batch_size=5, seed=0), 2) != take(ClipSampler(50, batch_size=5, seed=1), 2)


def test_processes_share_every_batch_without_overlap():
    whole = take(ClipSampler(10, batch_size=6, seed=7), 5)
    shards = [take(ClipSampler(10, batch_size=2, seed=7, rank=rank, world_size=3), 5) for rank in range(3)]
    for step, batch in enumerate(whole):
        assert [token for pair in zip(*(shard[step] for shard in shards), strict=True) for token in pair] == batch


def test_iterating_does_not_move_the_sampler():
    sampler = ClipSampler(10, batch_size=3, seed=0)
    assert take(sampler, 4) == take(sampler, 4)
    assert (sampler.epoch, sampler.position) == (0, 0)


@pytest.mark.parametrize("num_taken", [0, 1, 3, 4, 11])
def test_a_resumed_sampler_continues_with_the_next_batch(num_taken):
    uninterrupted = ClipSampler(10, batch_size=3, seed=2)
    expected = take(uninterrupted, num_taken + 6)[num_taken:]
    for _ in range(num_taken):
        uninterrupted.advance()
    resumed = ClipSampler(10, batch_size=3, seed=2)
    resumed.load_state_dict(uninterrupted.state_dict())
    assert take(resumed, 6) == expected
    assert (resumed.epoch, resumed.position) == divmod(3 * num_taken, 10)


@pytest.mark.parametrize("num_taken", [1, 4])
def test_a_batch_taken_counts_the_clips_of_all_processes(num_taken):
    whole = take(ClipSampler(10, batch_size=6, seed=2), num_taken + 3)[num_taken:]
    resumed = []
    for rank in range(3):
        sampler = ClipSampler(10, batch_size=2, seed=2, rank=rank, world_size=3)
        for _ in range(num_taken):
            sampler.advance()
        assert (sampler.epoch, sampler.position) == divmod(6 * num_taken, 10)
        again = ClipSampler(10, batch_size=2, seed=2, rank=rank, world_size=3)
        again.load_state_dict(sampler.state_dict())
        resumed.append(take(again, 3))
    for step, batch in enumerate(whole):
        assert [token for pair in zip(*(own[step] for own in resumed), strict=True) for token in pair] == batch


def test_a_state_may_be_continued_by_another_number_of_processes():
    alone = ClipSampler(10, batch_size=6, seed=2)
    alone.advance()
    three = ClipSampler(10, batch_size=2, seed=2, rank=0, world_size=3)
    three.load_state_dict(alone.state_dict())
    assert take(three, 1)[0] == take(alone, 1)[0][::3]


@pytest.mark.parametrize("changed", [{"seed": 3}, {"num_clips": 11}])
def test_state_of_another_run_is_refused(changed):
    saved = ClipSampler(10, batch_size=3, seed=2).state_dict()
    (name,) = changed
    with pytest.raises(ValueError, match=f"{name} is {changed[name]}"):
        ClipSampler(10, batch_size=3, seed=2).load_state_dict({**saved, **changed})


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"num_clips": 0, "batch_size": 1}, "no clips"),
        ({"num_clips": 1, "batch_size": 0}, "batch_size 0"),
        ({"num_clips": 1, "batch_size": 1, "rank": 2, "world_size": 2}, "rank 2 of 2"),
    ],
)
def test_impossible_samplers_are_refused(arguments, message):
    with pytest.raises(ValueError, match=message):
        ClipSampler(seed=0, **arguments)
