"""Random numbers and waves: pinned values, and no rounding that a C library could tip."""

import math

import numpy as np

from maskreel.rendered.draws import WAVE_QUANTUM, WAVE_STEPS, Draws, direction, smooth_step, wave


def test_a_stream_begins_with_the_same_numbers_everywhere() -> None:
    assert (Draws(1, 2).block(3) * 2**53).astype(np.int64).tolist() == [
        4038964544837015,
        3881039917090675,
        3783015845253219,
    ]


def test_streams_of_other_keys_differ() -> None:
    starts = {float(Draws(*keys).block(1)[0]) for keys in [(0,), (0, 0, 1), (0, 1), (1, 0), (10_000, 0), (0, 10_000)]}
    assert len(starts) == 6


def test_draws_stay_within_their_limits() -> None:
    draws = Draws(3)
    assert {draws.integer(2, 4) for _ in range(200)} == {2, 3, 4}
    values = [draws.uniform(-1.0, 3.0) for _ in range(500)]
    assert -1 <= min(values) < -0.9
    assert 2.9 < max(values) < 3
    assert sorted(draws.order(6)) == list(range(6))
    assert {draws.pick("ab") for _ in range(50)} == {"a", "b"}
    assert not any(draws.chance(0.0) for _ in range(50))
    assert all(draws.chance(1.0) for _ in range(50))


def test_waves_are_sines() -> None:
    turns = np.linspace(-3, 3, 997)
    np.testing.assert_allclose(wave(turns), np.sin(2 * np.pi * turns), atol=1e-5)


def test_a_direction_is_a_cosine_and_a_sine() -> None:
    assert direction(0.25) == (0.0, 1.0)
    np.testing.assert_allclose(direction(0.1), (math.cos(0.2 * math.pi), math.sin(0.2 * math.pi)), atol=1e-5)


def test_no_entry_of_the_wave_table_sits_on_a_rounding_edge() -> None:
    exact = [math.sin(2 * math.pi * k / WAVE_STEPS) / WAVE_QUANTUM for k in range(WAVE_STEPS)]
    assert min(abs(abs(value - math.floor(value)) - 0.5) for value in exact) > 1e-6


def test_smooth_steps_rise_from_zero_to_one_and_stay() -> None:
    np.testing.assert_array_equal(smooth_step(np.array([-1.0, 0.0, 0.5, 1.0, 7.0])), [0.0, 0.0, 0.5, 1.0, 1.0])
