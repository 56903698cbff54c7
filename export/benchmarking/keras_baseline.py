"""The Keras model itself, as the baseline of a benchmark."""

from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from keras_inception_export import errors
from keras_inception_export.data.reading import reading
from keras_inception_export.verification.parity import max_error
from keras_inception_export.verification.probes import Probes

if TYPE_CHECKING:
    from keras_inception_export.model.inference_model import InferenceModel

MAX_ERROR = 0.05
"""Largest relative error, on the probes, of the model that was exported; it
leaves room for computing in another precision."""


def open_model(
    path: str,
    modules: Sequence[str],
    feeds: Mapping[str, np.ndarray],
    probes: Probes,
) -> Callable[[], object]:
    """Return a function that runs a `.keras` file's model on `feeds`."""
    try:
        import keras

        from keras_inception_export.model import loading
        from keras_inception_export.model.inference_model import InferenceModel
    except ImportError as error:
        raise errors.RuntimeMissingError(
            f"{path} needs Keras and its backend: {error}"
        ) from error
    loading.import_modules(modules)
    model = InferenceModel.of(loading.functional(loading.load_model(path)))
    _check_same(path, model, probes)
    flat: list[Any] = [None] * len(model.inputs)
    for index, spec in zip(model.input_order, model.inputs, strict=True):
        flat[index] = feeds[spec.name]
    packed = keras.tree.pack_sequence_as(model.model.input, flat)
    return lambda: model.model.predict_on_batch(packed)


def _check_same(path: str, model: "InferenceModel", probes: Probes) -> None:
    """Raise RequestError if a model is not the one that was exported."""
    import keras

    inputs = [spec.name for spec in model.inputs]
    names = [spec.name for spec in model.outputs]
    problem = "is not the model of this bundle and cannot be its baseline"
    with reading(path, problem, error=errors.RequestError):
        results = [
            dict(zip(names, model.call(*map(feed.get, inputs)), strict=True))
            for feed in probes.feeds
        ]
        largest = max(
            max_error(
                [keras.ops.convert_to_numpy(batch[name]) for batch in results],
                [batch[name] for batch in probes.reference],
            )
            for name in probes.reference[0]
        )
    if not largest <= MAX_ERROR:
        raise errors.RequestError(
            f"{path} is not the model of this bundle: on the probes "
            f"its outputs differ by {largest:.2g} of the largest value"
        )
