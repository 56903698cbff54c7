"""What a quantized artifact must keep to be published."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from keras_inception_export.errors import RequestError
from keras_inception_export.options import (
    MAX_ACCURACY_DROP,
    MIN_AGREEMENT,
)
from keras_inception_export.quantization.metrics import (
    Measurement,
    beats_guessing,
    fits_labels,
    has_probabilities,
    has_scores,
)

MIN_SNR_DB = 10.0
"""Below this any output is noise: a third of the signal and more."""
_ROUNDING = 1e-9
"""What the difference of two parts of the samples may be off by."""


@dataclass(frozen=True)
class AcceptanceCriteria:
    """The least that is asked of a quantized artifact.

    Args:
        min_agreement: part of the samples that must get the class that Keras
            gives them, in every output that holds scores of classes.
        max_accuracy_drop: by how much the part of rightly classified samples
            may fall.
        classifiers: the outputs that hold scores of classes.
        keras_accuracy: the accuracy of Keras, an output name, where there are
            labels.
    """

    min_agreement: float
    max_accuracy_drop: float
    classifiers: frozenset[str]
    keras_accuracy: Mapping[str, float | None]

    @classmethod
    def of(
        cls,
        reference: Sequence[Measurement],
        outputs: Mapping[str, np.ndarray],
        labels: np.ndarray | None,
        min_agreement: float | None = None,
        max_accuracy_drop: float | None = None,
    ) -> "AcceptanceCriteria":
        """Make a guard from what Keras itself gives.

        Args:
            reference: Keras measured against itself.
            outputs: what Keras gives.
            labels: the class of each sample, or None.
            min_agreement: see the class. Defaults to `None`: 0.99.
            max_accuracy_drop: see the class. Defaults to `None`: 0.005.

        Raises:
            RequestError: if the labels are classes of no output, or what is
                asked for applies to none.
        """
        asked = min_agreement is not None or max_accuracy_drop is not None
        if max_accuracy_drop is not None and labels is None:
            raise RequestError(
                "max_accuracy_drop needs samples with labels; got none"
            )
        return cls(
            MIN_AGREEMENT if min_agreement is None else min_agreement,
            MAX_ACCURACY_DROP
            if max_accuracy_drop is None
            else max_accuracy_drop,
            frozenset(_classifiers(outputs, labels, asked)),
            {record.output: record.accuracy for record in reference},
        )

    def findings(self, measured: Sequence[Measurement]) -> list[str]:
        """Say what an artifact misses, a sentence each."""
        findings = []
        for record in measured:
            name = f'output "{record.output}"'
            if not record.snr_db >= MIN_SNR_DB:
                findings.append(
                    f"{name} has {record.snr_db:.1f} dB of signal to noise, "
                    f"wanted {MIN_SNR_DB:.0f}"
                )
            if record.output not in self.classifiers:
                continue
            agreement = record.agreement or 0.0
            if not agreement >= self.min_agreement:
                findings.append(
                    f"{name} agrees with Keras on {agreement:.2%} of the "
                    f"samples, wanted {self.min_agreement:.2%}"
                )
            before = self.keras_accuracy[record.output]
            if before is None or record.accuracy is None:
                continue
            drop = before - record.accuracy
            if not drop <= self.max_accuracy_drop + _ROUNDING:
                findings.append(
                    f"{name} is right on {record.accuracy:.2%} of the "
                    f"samples, Keras on {before:.2%}, and may lose "
                    f"{self.max_accuracy_drop:.2%}"
                )
        return findings


def _classifiers(
    outputs: Mapping[str, np.ndarray], labels: np.ndarray | None, asked: bool
) -> set[str]:
    """Return the outputs whose rows are scores of classes.

    They are if each row holds probabilities, or if there are labels and they
    are told better than by guessing. Where neither is so, rows of features
    cannot be told from logits: those that may be scores are taken only if a
    guard is asked for, which would hold for nothing else.
    """
    rows = {name: y for name, y in outputs.items() if has_scores(y)}
    told = ", ".join(f'"{n}" with {y.shape[1:]}' for n, y in outputs.items())
    fitting = rows
    if labels is not None:
        fitting = {n: y for n, y in rows.items() if fits_labels(y, labels)}
        if rows and not fitting:
            raise RequestError(
                f"the labels, {labels.min()} to {labels.max()}, are classes "
                f"of no output ({told} values a sample); count classes from 0"
            )
    if asked and not rows:
        raise RequestError(
            "min_agreement and max_accuracy_drop apply to a row of scores a "
            f"sample, which no output has ({told} values a sample); leave "
            "them out"
        )
    found = {name for name, y in rows.items() if has_probabilities(y)}
    if labels is not None:
        found |= {n for n, y in fitting.items() if beats_guessing(y, labels)}
    return found | set(fitting) if asked and not found & set(fitting) else found
