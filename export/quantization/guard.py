"""What a quantized artifact must keep to be published."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from keras_inception_export.quantization.measure import (
    Measurement,
    is_classifier,
)

MIN_AGREEMENT = 0.99
MAX_ACCURACY_DROP = 0.005
MIN_SNR_DB = 10.0
"""Below this any output is noise: a third of the signal and more."""


@dataclass(frozen=True)
class Guard:
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
        min_agreement: float = MIN_AGREEMENT,
        max_accuracy_drop: float = MAX_ACCURACY_DROP,
    ) -> "Guard":
        """Make a guard from what Keras itself gives.

        Args:
            reference: Keras measured against itself.
            outputs: what Keras gives.
            labels: the class of each sample, or None.
            min_agreement: see the class.
            max_accuracy_drop: see the class.
        """
        return cls(
            min_agreement,
            max_accuracy_drop,
            frozenset(
                name
                for name, output in outputs.items()
                if is_classifier(output, labels)
            ),
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
            if not before - record.accuracy <= self.max_accuracy_drop:
                findings.append(
                    f"{name} is right on {record.accuracy:.2%} of the "
                    f"samples, Keras on {before:.2%}, and may lose "
                    f"{self.max_accuracy_drop:.2%}"
                )
        return findings
