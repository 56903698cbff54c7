"""What a file of results has per item: the best classes, or the values."""

import math
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from keras_inception_export.data.tensor_spec import TensorSpec
from keras_inception_export.prediction.pipeline import Prediction

CLASS = ("class", "label", "score")
"""What is written for each of the best classes of an output."""


def is_scores(spec: TensorSpec) -> bool:
    """Return whether an output is a vector, of which the largest matter."""
    return len(spec.shape) == 2 and spec.shape[1] != 1


def record(
    prediction: Prediction, outputs: Sequence[TensorSpec], top: int
) -> dict[str, Any]:
    """Return the results of one item as JSON and Parquet hold them."""
    values = {
        spec.name: _value(prediction, spec, top)
        for spec in outputs
        if prediction.error is None
    }
    return {
        "name": prediction.name,
        "error": prediction.error,
        "outputs": values or None,
    }


def _value(prediction: Prediction, spec: TensorSpec, top: int) -> Any:
    if is_scores(spec):
        return [
            dict(zip(CLASS, (index, label, _number(score)), strict=True))
            for index, label, score in prediction.top(top, spec.name)
        ]
    return _numbers(prediction.outputs[spec.name].tolist())


def _numbers(value: Any) -> Any:
    """Return nested lists in which None stands for NaN and infinity."""
    if isinstance(value, list):
        return [_numbers(x) for x in value]
    return value if math.isfinite(value) else None


def _number(score: Any) -> float | int | None:
    """Return a score with no more digits than its dtype has."""
    if not np.isfinite(score):
        return None
    return float(str(score)) if score.dtype.kind == "f" else score.item()


def cells(
    values: Mapping[str, Any], outputs: Sequence[TensorSpec], top: int
) -> dict[str, Any]:
    """Return the cells of one record in a CSV file, by their columns."""
    row = {"name": values["name"], "error": values["error"]}
    found = values["outputs"] or {}
    for spec in outputs:
        if not is_scores(spec):
            row[f"{spec.name}_value"] = found.get(spec.name)
            continue
        ranks = top if spec.shape[1] is None else min(top, spec.shape[1])
        best = [*found.get(spec.name, ()), *[{}] * ranks]
        for rank in range(ranks):
            for part in CLASS:
                column = f"{spec.name}_{part}_{rank + 1}"
                row[column] = best[rank].get(part)
    return row
