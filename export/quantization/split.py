"""Split the samples into those that calibrate and those that evaluate.

No sample does both, nor does a part of one: windows that are cut from one
series overlap, and a window whose neighbours have calibrated would evaluate
better than new data. (An LSTM on overlapping windows of a random walk measured
55 dB on windows between those of the calibration, and 20 to 35 dB on others.)
"""

from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from keras_inception_export.data.rows import parts
from keras_inception_export.data.samples import Samples
from keras_inception_export.errors import RequestError
from keras_inception_export.options import CALIBRATION_SAMPLES

SEED = 0
MIN_SAMPLES = 20
"""With fewer samples, the ranges of a calibration are meaningless."""
FEW_SAMPLES = 50
"""Fewer calibration samples than this cause a warning."""
_CONSTANT = np.uint64(0)  # instead of a hash
_MULTIPLIER = np.uint64(0x9E3779B97F4A7C15)  # odd, of no pattern
LEFT = 0.5
"""The fraction of the other samples that must have no part in common with those
that calibrate."""


@dataclass(frozen=True)
class Split:
    """Two disjoint sets of samples.

    Args:
        calibration: the samples that the ranges of int8 are measured on.
        evaluation: the samples that every artifact is evaluated on.
        overlapping: whether samples of both sets have parts in common.
    """

    calibration: Samples
    evaluation: Samples
    overlapping: bool = False

    def as_json(self) -> dict:
        """Return the entries of a report that determine the split."""
        return {
            "seed": SEED,
            "calibration": len(self.calibration),
            "evaluation": len(self.evaluation),
            "labelled": self.evaluation.labels is not None,
        }


def split(samples: Samples, calibration: int = CALIBRATION_SAMPLES) -> Split:
    """Split the shuffled samples; at least half of them evaluate.

    Samples that share a part with one that calibrates do not evaluate. If few
    were left, the samples are not shuffled: the first ones calibrate. If few
    are left then, too, the split is the shuffled one, and `overlapping`.
    """
    number = len(samples)
    if number < MIN_SAMPLES:
        raise RequestError(
            f"quantization calibrates and evaluates on the samples: expected "
            f"at least {MIN_SAMPLES}, better {2 * CALIBRATION_SAMPLES}; got "
            f"{number}; add samples"
        )
    end = min(calibration, number // 2)
    shuffled = np.random.default_rng(SEED).permutation(number)
    contents = np.concatenate(
        list(map(part_hashes, samples.inputs.values())), axis=1
    )
    for order in (shuffled, np.arange(number)):
        seen = np.setdiff1d(contents[order[:end]], _CONSTANT)
        new = order[end:][~np.isin(contents[order[end:]], seen).any(axis=1)]
        if len(new) >= LEFT * (number - end):
            return _split(samples, order[:end], new)
    return _split(samples, shuffled[:end], shuffled[end:], overlapping=True)


def _split(samples, calibration, evaluation, **options) -> Split:
    chosen = samples.take(np.sort(calibration))
    arrays = {name: np.asarray(x) for name, x in chosen.inputs.items()}
    return Split(
        replace(chosen, inputs=arrays), samples.take(evaluation), **options
    )


def part_hashes(array: Any) -> np.ndarray:
    """Return, per sample of one input, a hash of the content of each part.

    These are the sample itself and, of a series of values, vectors or images,
    all halves of consecutive steps. Parts that are constant, such as padding,
    do not count.
    """
    is_series = array.ndim in (2, 3, 5) and array.shape[1] > 3
    length = array.shape[1] if is_series else 1
    sizes = [length, -(-length // 2)] if is_series else [length]
    found = []
    for samples in parts(array):
        steps = np.ascontiguousarray(samples).reshape(len(samples), length, -1)
        found.append(
            np.concatenate([_windows(steps, x) for x in sizes], axis=1)
        )
    return np.concatenate(found)


def _windows(steps: np.ndarray, size: int) -> np.ndarray:
    """Return, per sample, a hash of every `size` consecutive steps.

    It is a polynomial modulo 2**64, of which the sums over all windows take
    one pass.
    """
    number, length, _ = steps.shape
    content = steps.view("uint8").reshape(number, length, -1)
    content = np.pad(content, [(0, 0), (0, 0), (0, -content.shape[2] % 8)])
    words = content.view("uint64")
    factors = np.random.default_rng(SEED).integers(
        2**64, size=words.shape[2], dtype="uint64"
    )
    hashes = (words * (factors | 1)).sum(axis=2)
    hashes = (hashes ^ hashes >> 32) * _MULTIPLIER | 1  # zeros count, too
    powers = np.cumprod(np.full(length, _MULTIPLIER))
    sums = _sums(hashes * powers)
    windows = (sums[:, size:] - sums[:, :-size]) * powers[length - size :: -1]
    varies = _sums((steps != steps[..., :1]).any(axis=2))
    changes = _sums(steps[:, 1:, 0] != steps[:, :-1, 0])
    varies = varies[:, size:] > varies[:, :-size]
    changes = changes[:, size - 1 :] > changes[:, : length - size + 1]
    return np.where(varies | changes, windows, _CONSTANT)


def _sums(values: np.ndarray) -> np.ndarray:
    """Return the sums of the first 0, 1, 2, ... values of each row."""
    return np.pad(np.cumsum(values, axis=1), [(0, 0), (1, 0)])
