"""The samples of a quantization, and what Keras gives on them."""

from collections.abc import Sequence
from dataclasses import dataclass

import keras

from keras_inception_export.data.batching import run
from keras_inception_export.model.inference_model import InferenceModel
from keras_inception_export.options import ExportOptions
from keras_inception_export.quantization.acceptance import AcceptanceCriteria
from keras_inception_export.quantization.metrics import (
    Measurement,
    Outputs,
    measure,
)
from keras_inception_export.quantization.sample_check import check_samples
from keras_inception_export.quantization.split import Split


@dataclass(frozen=True)
class Evaluation:
    """What every artifact is held to.

    Args:
        split: the samples that calibrate, and those that measure.
        reference: what Keras gives, in its own precision, on those that
            measure.
        keras: the same, measured: its accuracy, where there are labels.
        criteria: what is asked of quantized artifacts.
        warnings: what looks wrong with the samples, a sentence each.
    """

    split: Split
    reference: Outputs
    keras: Sequence[Measurement]
    criteria: AcceptanceCriteria
    warnings: Sequence[str]

    @classmethod
    def of(cls, model, parts: Split, options: ExportOptions) -> "Evaluation":
        """Run the original Functional model on the samples.

        Args:
            model: the original model.
            parts: samples that fit it.
            options: the `ExportOptions`.

        Raises:
            RequestError: if the samples cannot be of use.
        """
        warnings = check_samples(model, parts.calibration)
        named = InferenceModel.of(model)

        def call(feeds):
            tensors = named.call(*(feeds[spec.name] for spec in named.inputs))
            return {
                spec.name: keras.ops.convert_to_numpy(tensor)
                for spec, tensor in zip(named.outputs, tensors, strict=True)
            }

        reference = run(call, parts.evaluation.inputs, named.inputs[0].shape[0])
        labels = parts.evaluation.labels
        measured = measure(reference, reference, labels)
        criteria = AcceptanceCriteria.of(
            measured,
            reference,
            labels,
            options.min_agreement,
            options.max_accuracy_drop,
        )
        if labels is not None and not criteria.classifiers:
            warnings.append(
                "no output tells the labels better than guessing would, so "
                "neither agreement nor accuracy is asked for"
            )
        return cls(parts, reference, measured, criteria, warnings)

    def measure(self, artifact) -> list[Measurement]:
        """Measure an opened artifact on the samples made for that."""
        outputs = run(artifact, self.split.evaluation.inputs)
        return measure(outputs, self.reference, self.split.evaluation.labels)

    def as_json(self) -> dict:
        """Return what `report.json` says of it."""
        return {
            **self.split.as_json(),
            "keras_accuracy": {
                record.output: record.accuracy for record in self.keras
            },
            "min_agreement": self.criteria.min_agreement,
            "max_accuracy_drop": self.criteria.max_accuracy_drop,
            "warnings": list(self.warnings),
        }
