"""Which samples calibrate and which measure: never the same ones."""

from dataclasses import dataclass

import numpy as np

from keras_inception_export.data.samples import Samples
from keras_inception_export.errors import RequestError
from keras_inception_export.options import CALIBRATION_SAMPLES

SEED = 0
FEWEST = 20
"""With fewer, the ranges that a calibration finds say nothing."""
FEW = 50
"""With fewer to calibrate on, a warning is due."""


@dataclass(frozen=True)
class Split:
    """Samples in two disjoint parts, drawn by a seeded permutation.

    Args:
        calibration: what the ranges of int8 are taken from.
        evaluation: what every artifact is measured on.
    """

    calibration: Samples
    evaluation: Samples

    def as_json(self) -> dict:
        """Return how to draw the same split again."""
        return {
            "seed": SEED,
            "calibration": len(self.calibration),
            "evaluation": len(self.evaluation),
            "labelled": self.evaluation.labels is not None,
        }


def split(samples: Samples, calibration: int = CALIBRATION_SAMPLES) -> Split:
    """Return the first `calibration` of the shuffled samples, and the rest.

    At least half of the samples are kept for measuring.

    Raises:
        RequestError: if there are too few samples.
    """
    number = len(samples)
    if number < FEWEST:
        raise RequestError(
            f"quantization calibrates and measures on the samples and needs "
            f"at least {FEWEST} of them, better {2 * CALIBRATION_SAMPLES}; got {number}"
        )
    order = np.random.default_rng(SEED).permutation(number)
    end = min(calibration, number // 2)
    return Split(samples.take(np.sort(order[:end])), samples.take(order[end:]))
