"""What fewer bits cost, measured on samples that the calibration did not see.

Needs numpy alone.
"""

from collections.abc import Mapping
from dataclasses import asdict, dataclass

import numpy as np

Outputs = Mapping[str, np.ndarray]


@dataclass(frozen=True)
class Measurement:
    """How near one output of an artifact comes to what Keras gives.

    Args:
        output: its name.
        snr_db: signal to noise in dB, over all samples and values.
        max_error: the largest difference, relative to the largest value.
        agreement: part of the samples that get the same class; `None` if the
            output is not one row of scores a sample.
        accuracy: part of the samples that get the class of their label;
            `None` without labels.
    """

    output: str
    snr_db: float
    max_error: float
    agreement: float | None
    accuracy: float | None

    def as_json(self):
        """Return the record as `report.json` holds it."""
        return {
            key: float(f"{value:.6g}") if isinstance(value, float) else value
            for key, value in asdict(self).items()
        }


def measure(
    outputs: Outputs, reference: Outputs, labels: np.ndarray | None
) -> list[Measurement]:
    """Compare an artifact's outputs with those of Keras.

    Args:
        outputs: what the artifact gives.
        reference: what Keras gives.
        labels: the class of each sample, or None.
    """
    records = []
    for name, expected in reference.items():
        got = outputs[name].astype("float64")
        noise = np.abs(got - expected)
        signal = np.square(expected, dtype="float64").sum()
        power = np.square(noise).sum()
        scored = has_scores(expected)
        fits = scored and labels is not None and fits_labels(expected, labels)
        records.append(
            Measurement(
                name,
                _decibel(signal, power),
                float(noise.max() / (np.abs(expected).max() or 1)),
                _part(classes(got), classes(expected)) if scored else None,
                _part(classes(got), labels) if fits else None,
            )
        )
    return records


def has_scores(output: np.ndarray) -> bool:
    """Say whether an output is one row of values a sample."""
    return output.ndim == 2


def fits_labels(output: np.ndarray, labels: np.ndarray) -> bool:
    """Say whether the labels can be classes of this output."""
    number = output.shape[1]
    return bool(labels.max() < max(number, 2) and labels.min() >= 0)


def has_probabilities(output: np.ndarray) -> bool:
    """Say whether each row of scores sums to 1, as probabilities do."""
    positive = output.shape[1] > 1 and bool((output >= 0).all())
    return positive and bool(np.allclose(output.sum(axis=1), 1, atol=1e-3))


def beats_guessing(output: np.ndarray, labels: np.ndarray) -> bool:
    """Say whether scores tell the labels better than always the commonest."""
    return _part(classes(output), labels) > np.bincount(labels).max() / len(
        labels
    )


def classes(scores: np.ndarray) -> np.ndarray:
    """Return the class of each row: the best one; of one score, if > 0.5."""
    if scores.shape[1] == 1:
        return (scores[:, 0] > 0.5).astype("int64")
    return scores.argmax(axis=1)


def _part(found, expected):
    return float(np.mean(found == expected))


def _decibel(signal, noise):
    """Return signal to noise in dB, from -200 to 200."""
    if not signal:
        return -200.0 if noise else 200.0
    return float(
        10 * np.log10(np.clip(signal / max(noise, signal / 1e20), 1e-20, 1e20))
    )
