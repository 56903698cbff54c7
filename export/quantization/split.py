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
_CONSTANT = 0  # instead of a hash
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
        list(map(_parts, samples.inputs.values())), axis=1
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


def _parts(array: Any) -> np.ndarray:
    """Return, per sample of one input, a hash of the content of each part.

    These are the sample itself and, of a series, all halves of consecutive
    steps. Parts that are constant, such as padding, do not count.
    """
    length = array.shape[1] if array.ndim in (2, 3) else 1
    size = -(-length // 2)
    is_series = array.ndim in (2, 3) and length > 3

    def hashes(sample: np.ndarray) -> list[int]:
        found = [sample]
        if is_series:
            starts = range(length - size + 1)
            found = [sample[start : start + size] for start in starts]
        return [
            hash(x.tobytes()) if (x != x.flat[0]).any() else _CONSTANT
            for x in found
        ]

    samples = (sample for part in parts(array) for sample in part)
    return np.array([hashes(sample) for sample in samples])
