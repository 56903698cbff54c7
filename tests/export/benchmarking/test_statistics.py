"""Speeds, intervals and doubts, from times that are made up."""

from statistics import median

import pytest

from keras_inception_export.benchmarking.statistics import (
    Interval,
    find_doubts,
    median_interval,
    speeds,
)


@pytest.mark.parametrize(
    ("number", "low"), ((6, 1), (8, 1), (9, 2), (10, 2), (20, 6), (50, 18))
)
def test_interval_of_the_median(number, low):
    """Ranks from the tables of the sign test."""
    interval = median_interval(range(number, 0, -1))
    assert interval.low == low and interval.high == number + 1 - low
    assert interval.median == median(range(1, number + 1))


def test_speed_is_a_ratio_within_the_round():
    """Rounds in which everything is slow change nothing."""
    slow = [1.0, 1.0, 9.0, 1.0, 1.0, 30.0]
    times = {
        "base": [[0.3 * s, 0.4 * s, 0.5 * s] for s in slow],
        "fast": [[0.1 * s] for s in slow],
    }
    ratios = speeds(times, "base")
    assert ratios["base"] == Interval(1, 1, 1)
    fast = ratios["fast"]
    assert (fast.low, fast.median, fast.high) == pytest.approx((4, 4, 4))
    times["fast"] = [[0.1]] * 6  # slow rounds of the baseline alone
    assert speeds(times, "base")["fast"].high > 4


STEADY = {"Keras": Interval(1, 1, 1), "onnx": Interval(3, 2.9, 3.1)}
LOOSE = STEADY | {"tflite": Interval(3, 2.5, 3.5)}


@pytest.mark.parametrize(
    ("ratios", "others", "threads", "doubts"),
    [
        (STEADY, 0.05, 2, []),
        (STEADY, 0.9, 1, []),  # one core is left for it
        (STEADY, None, 2, []),
        (
            STEADY,
            0.9,
            2,
            [
                "other programs kept 0.9 of 2 cores busy, which left too "
                "little for --threads 2"
            ],
        ),
        (LOOSE, 0.0, 2, ["the speed of tflite is known to 17% only"]),
    ],
)
def test_doubts(ratios, others, threads, doubts):
    assert find_doubts(ratios, others, threads, cores=2) == doubts
