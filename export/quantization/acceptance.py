"""The criteria that a quantized artifact must meet to be published."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from keras_inception_export.errors import RequestError
from keras_inception_export.options import MAX_ACCURACY_DROP, MIN_AGREEMENT
from keras_inception_export.quantization import metrics
from keras_inception_export.quantization.metrics import MIN_SNR_DB

_ROUNDING = 1e-9  # of the difference of two fractions


@dataclass(frozen=True)
class AcceptanceCriteria:
    """The minimum quality of a quantized artifact.

    Args:
        min_agreement: the fraction of the samples that must get the same
            class as from Keras, in every output of class scores.
        max_accuracy_drop: by how much the accuracy may be lower than that of
            Keras.
        classifiers: the outputs that are class scores.
        keras_accuracy: the accuracy of Keras per output name; `None` where
            there are no labels.
        keras_confusion: the number of samples per label (row) and class
            (column), likewise.
    """

    min_agreement: float
    max_accuracy_drop: float
    classifiers: frozenset[str]
    keras_accuracy: Mapping[str, float | None]
    keras_confusion: Mapping[str, list[list[int]] | None]

    @classmethod
    def of(
        cls,
        outputs: metrics.Outputs,
        labels: np.ndarray | None,
        min_agreement: float | None = None,
        max_accuracy_drop: float | None = None,
    ) -> "AcceptanceCriteria":
        """Return the criteria for a model, from the outputs of Keras."""
        requested = min_agreement is not None or max_accuracy_drop is not None
        if max_accuracy_drop is not None and labels is None:
            raise RequestError(
                "max_accuracy_drop needs samples with labels; got samples "
                "without; add labels, or leave it out"
            )
        if min_agreement is None:
            min_agreement = MIN_AGREEMENT
        if max_accuracy_drop is None:
            max_accuracy_drop = MAX_ACCURACY_DROP
        classifiers = frozenset(_classifiers(outputs, labels, requested))
        measured = metrics.measure(outputs, outputs, labels)
        accuracy = {record.output: record.accuracy for record in measured}
        confusion = {record.output: record.confusion for record in measured}
        limits = min_agreement, max_accuracy_drop
        return cls(*limits, classifiers, accuracy, confusion)

    def findings(self, measured: Sequence[metrics.Measurement]) -> list[str]:
        """Return one sentence per criterion that the measurements fail."""
        findings = []
        for record in measured:
            name = where = f'output "{record.output}"'
            level = record.snr_db
            if level >= MIN_SNR_DB:
                where = f"{record.place} of {name}"
                level = record.worst_db
            if not level >= MIN_SNR_DB:
                findings.append(
                    f"{where} has {level:.1f} dB of signal to noise, "
                    f"expected at least {MIN_SNR_DB:.0f} dB"
                )
            if record.output not in self.classifiers:
                continue
            agreement = record.agreement or 0.0
            if not agreement >= self.min_agreement:
                findings.append(
                    f"{name} agrees with Keras on {agreement:.2%} of the "
                    f"samples, expected at least {self.min_agreement:.2%}"
                )
            before = self.keras_accuracy[record.output]
            if before is None or record.accuracy is None:
                continue
            drop = before - record.accuracy
            if not drop <= self.max_accuracy_drop + _ROUNDING:
                findings.append(
                    f"{name} has an accuracy of {record.accuracy:.2%}, Keras "
                    f"of {before:.2%}; expected a drop of at most "
                    f"{self.max_accuracy_drop:.2%}"
                )
        return findings


def _classifiers(
    outputs: metrics.Outputs, labels: np.ndarray | None, requested: bool
) -> set[str]:
    """Return the outputs whose rows are class scores.

    An output is one if each row holds probabilities, or if there are labels
    and it predicts them better than guessing. Where no output is, logits
    cannot be distinguished from features: all that may be scores are returned
    if a limit was requested, since it would apply to nothing else.
    """
    rows = {n: y for n, y in outputs.items() if metrics.has_scores(y)}
    shapes = ", ".join(f'"{n}" with {y.shape[1:]}' for n, y in outputs.items())
    fitting = rows
    if labels is not None:
        fits = metrics.fits_labels
        fitting = {n: y for n, y in rows.items() if fits(y, labels)}
        if rows and not fitting:
            raise RequestError(
                f"the labels, {labels.min()} to {labels.max()}, are classes "
                f"of no output ({shapes} values per sample); number classes "
                "from 0"
            )
    if requested and not rows:
        raise RequestError(
            "min_agreement and max_accuracy_drop apply to outputs with one "
            "row of scores per sample, which no output has "
            f"({shapes} values per sample); leave them out"
        )
    found = {n for n, y in rows.items() if metrics.has_probabilities(y)}
    if labels is not None:
        predicts = metrics.beats_guessing
        found |= {n for n, y in fitting.items() if predicts(y, labels)}
    if requested and not found & set(fitting):
        found |= set(fitting)
    return found
