"""Split the samples into those that calibrate and those that evaluate.

No sample does both.
"""

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


@dataclass(frozen=True)
class Split:
    """Two disjoint sets of samples, drawn by a seeded permutation.

    Args:
        calibration: the samples that the ranges of int8 are measured on.
        evaluation: the samples that every artifact is evaluated on.
    """

    calibration: Samples
    evaluation: Samples

    def as_json(self) -> dict:
        """Return the entries of a report that determine the split."""
        return {
            "seed": SEED,
            "calibration": len(self.calibration),
            "evaluation": len(self.evaluation),
            "labelled": self.evaluation.labels is not None,
        }


def split(samples: Samples, calibration: int = CALIBRATION_SAMPLES) -> Split:
    """Split the shuffled samples; at least half of them evaluate."""
    number = len(samples)
    if number < MIN_SAMPLES:
        raise RequestError(
            f"quantization calibrates and evaluates on the samples: expected "
            f"at least {MIN_SAMPLES}, better {2 * CALIBRATION_SAMPLES}; got "
            f"{number}; add samples"
        )
    order = np.random.default_rng(SEED).permutation(number)
    end = min(calibration, number // 2)
    return Split(samples.take(np.sort(order[:end])), samples.take(order[end:]))
