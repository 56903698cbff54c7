"""Split the samples into those that calibrate and those that evaluate.

No sample does both, nor does a part of one: windows that are cut from one
series overlap, and a window whose neighbours have calibrated would evaluate
better than new data. (An LSTM on overlapping windows of a random walk measured
55 dB on windows between those of the calibration, and 20 to 35 dB on others.)
"""

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np

from keras_inception_export.data.samples import Samples
from keras_inception_export.errors import RequestError
from keras_inception_export.options import CALIBRATION_SAMPLES

SEED = 0
MIN_SAMPLES = 20
"""With fewer samples, the ranges of a calibration are meaningless."""
FEW_SAMPLES = 50
"""Fewer calibration samples than this cause a warning."""
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
    parts = [set.union(*found) for found in zip(*_parts(samples), strict=True)]
    for order in (shuffled, np.arange(number)):
        seen = set().union(*(parts[row] for row in order[:end]))
        new = [row for row in order[end:] if seen.isdisjoint(parts[row])]
        if len(new) >= LEFT * (number - end):
            return _split(samples, order[:end], new)
    return _split(samples, shuffled[:end], shuffled[end:], overlapping=True)


def _split(samples, calibration, evaluation, **options) -> Split:
    chosen = (np.sort(calibration), np.array(evaluation))
    return Split(*map(samples.take, chosen), **options)


def _parts(samples: Samples) -> Iterator[list[set[bytes]]]:
    """Yield, per input, the contents of each sample's parts.

    These are the sample itself and, of a series, all halves of consecutive
    steps. Parts that are constant, such as padding, do not count.
    """
    for array in samples.inputs.values():
        length = array.shape[1] if array.ndim in (2, 3) else 1
        size = -(-length // 2)
        found: list[set[bytes]] = []
        for sample in array:
            parts = [sample] if sample.size > 1 else []
            if array.ndim in (2, 3) and length > 3:
                starts = range(length - size + 1)
                parts = [sample[start : start + size] for start in starts]
            found.append({x.tobytes() for x in parts if (x != x.flat[0]).any()})
        yield found
