"""The samples of a quantization, and the outputs of Keras on them."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

import keras
import numpy as np

from keras_inception_export.bundle.artifact import Artifact
from keras_inception_export.data.batching import Arrays, run, stream
from keras_inception_export.data.rows import Rows, Spool
from keras_inception_export.model.inference_model import InferenceModel
from keras_inception_export.options import ExportOptions
from keras_inception_export.quantization import metrics, rare_columns
from keras_inception_export.quantization.acceptance import (
    AcceptanceCriteria,
)
from keras_inception_export.quantization.metrics import MIN_SNR_DB
from keras_inception_export.quantization.sample_check import check_samples
from keras_inception_export.quantization.split import Split

WEIGHT_CHANGE = 1 / 256
"""The relative deviation by which each weight of a kernel is changed to find
the columns that are not determined. Its noise has about a tenth of the power
of that of int8, and each column gets it in its own unit."""
DETERMINED_DB = MIN_SNR_DB + 10
"""The least signal to noise of a column after this change."""
CHANGED_SAMPLES, CHANGED_VALUES = 100, 2**24
"""The most samples whose outputs are compared so, and about the most values."""


@dataclass(frozen=True)
class Evaluation:
    """What every artifact is compared with.

    Args:
        split: the calibration and the evaluation samples.
        reference: the outputs of Keras on the evaluation samples, in the
            precision of the original model.
        columns: per output, which columns are judged one by one.
        criteria: the acceptance criteria of quantized artifacts.
        warnings: one sentence per suspicious property of the samples, and per
            int8 artifact of which most layers stay in float.
    """

    split: Split
    reference: metrics.Outputs
    columns: Mapping[str, np.ndarray]
    criteria: AcceptanceCriteria
    warnings: list[str]

    @classmethod
    def of(
        cls, model: keras.Model, parts: Split, options: ExportOptions
    ) -> "Evaluation":
        """Run the original model on the evaluation samples."""
        warnings = check_samples(model, parts.calibration)
        if parts.overlapping:
            warnings.append(
                "most samples have parts in common (windows of one series, "
                "or copies), so the artifacts may be less accurate on new "
                "data than on them; add samples of other series"
            )
        named = InferenceModel.of(model)

        def call(feeds):
            tensors = named.call(*(feeds[spec.name] for spec in named.inputs))
            return {
                spec.name: keras.ops.convert_to_numpy(tensor)
                for spec, tensor in zip(named.outputs, tensors, strict=True)
            }

        fixed, samples = named.inputs[0].shape[0], parts.evaluation
        reference = _spooled(stream(call, samples.inputs, fixed))
        warnings += rare_columns.warnings_of(reference)
        values = sum(array[0].size for array in reference.values())
        most = min(CHANGED_SAMPLES, max(8, CHANGED_VALUES // values))
        # They may be ordered by class.
        some = slice(None, None, -(-len(samples) // most))
        inputs = samples.take(some).inputs
        with keras.StatelessScope(state_mapping=_changed_weights(model)):
            changed = run(call, inputs, fixed)
        columns = {
            name: _judged(array, reference[name][some])
            for name, array in changed.items()
        }
        labels = parts.evaluation.labels
        limits = options.min_agreement, options.max_accuracy_drop
        criteria = AcceptanceCriteria.of(reference, labels, *limits)
        if labels is not None and not criteria.classifiers:
            warnings.append(
                "no output predicts the labels better than guessing, so "
                "neither agreement nor accuracy is required"
            )
        return cls(parts, reference, columns, criteria, warnings)

    def measure(self, artifact: Artifact) -> list[metrics.Measurement]:
        """Measure an opened artifact on the evaluation samples."""
        samples = self.split.evaluation
        outputs = stream(artifact, samples.inputs)
        return metrics.measure(
            outputs, self.reference, samples.labels, self.columns
        )

    def as_json(self) -> dict[str, Any]:
        """Return the entries for `report.json`."""
        return {
            **self.split.as_json(),
            "keras_accuracy": dict(self.criteria.keras_accuracy),
            "keras_confusion": {
                name: matrix
                for name, matrix in self.criteria.keras_confusion.items()
                if matrix is not None
            },
            "min_agreement": self.criteria.min_agreement,
            "max_accuracy_drop": self.criteria.max_accuracy_drop,
            "warnings": list(self.warnings),
        }


def _spooled(batches: Iterable[Arrays]) -> dict[str, Rows]:
    """Return batches of outputs as arrays in temporary files."""
    spools: dict[str, Spool] = {}
    for batch in batches:
        for name, array in batch.items():
            spools.setdefault(name, Spool(array.shape[1:])).append(array)
    return {name: spool.rows() for name, spool in spools.items()}


def _changed_weights(
    model: keras.Model,
) -> list[tuple[keras.Variable, keras.KerasTensor]]:
    """Return each kernel with other values: normal, relative, and seeded."""
    random = np.random.default_rng(0)
    changed = []
    for variable in model.variables:
        if len(variable.shape) > 1 and "float" in variable.dtype:
            value = keras.ops.convert_to_numpy(variable).astype("float32")
            noise = random.standard_normal(value.shape, "float32")
            value += WEIGHT_CHANGE * noise * value
            changed.append((variable, keras.ops.cast(value, variable.dtype)))
    return changed


def _judged(changed: np.ndarray, expected: np.ndarray) -> np.ndarray:
    """Return which columns of an output are judged, given changed weights.

    The weights hardly determine the others, and few values vary, so they would
    fail whatever the scheme: the tip of a ReLU that is nearly always 0. That a
    column is small beside others is no such reason.
    """
    snr = metrics.columns_snr(changed, expected)
    determined = (snr >= DETERMINED_DB) | metrics.are_spread(expected)
    return ~np.isnan(snr) & determined
