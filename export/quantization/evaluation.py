"""The samples of a quantization, and the outputs of Keras on them."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import keras

from keras_inception_export.bundle.artifact import Artifact
from keras_inception_export.data.batching import run
from keras_inception_export.model.inference_model import InferenceModel
from keras_inception_export.options import ExportOptions
from keras_inception_export.quantization import metrics
from keras_inception_export.quantization.acceptance import AcceptanceCriteria
from keras_inception_export.quantization.sample_check import check_samples
from keras_inception_export.quantization.split import Split


@dataclass(frozen=True)
class Evaluation:
    """What every artifact is compared with.

    Args:
        split: the calibration and the evaluation samples.
        reference: the outputs of Keras on the evaluation samples, in the
            precision of the original model.
        criteria: the acceptance criteria of quantized artifacts.
        warnings: one sentence per suspicious property of the samples.
    """

    split: Split
    reference: metrics.Outputs
    criteria: AcceptanceCriteria
    warnings: Sequence[str]

    @classmethod
    def of(
        cls, model: keras.Model, parts: Split, options: ExportOptions
    ) -> "Evaluation":
        """Run the original model on the evaluation samples."""
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
        limits = options.min_agreement, options.max_accuracy_drop
        criteria = AcceptanceCriteria.of(reference, labels, *limits)
        if labels is not None and not criteria.classifiers:
            warnings.append(
                "no output predicts the labels better than guessing, so "
                "neither agreement nor accuracy is required"
            )
        return cls(parts, reference, criteria, warnings)

    def measure(self, artifact: Artifact) -> list[metrics.Measurement]:
        """Measure an opened artifact on the evaluation samples."""
        samples = self.split.evaluation
        outputs = run(artifact, samples.inputs)
        return metrics.measure(outputs, self.reference, samples.labels)

    def as_json(self) -> dict[str, Any]:
        """Return the entries for `report.json`."""
        return {
            **self.split.as_json(),
            "keras_accuracy": dict(self.criteria.keras_accuracy),
            "min_agreement": self.criteria.min_agreement,
            "max_accuracy_drop": self.criteria.max_accuracy_drop,
            "warnings": list(self.warnings),
        }
