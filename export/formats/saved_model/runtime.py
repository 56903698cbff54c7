"""Run SavedModel artifacts with TensorFlow, which is imported when needed."""

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np

from keras_inception_export.data.reading import reading
from keras_inception_export.data.tensor_spec import TensorSpec, check_feeds
from keras_inception_export.errors import RequestError, missing
from keras_inception_export.formats.format import Runner, Specs

SIGNATURE = "serving_default"
"""The signature of every artifact."""

DAMAGED = "is not a complete SavedModel of this exporter"

ORDER_FILE = Path("assets.extra", "signature.json")
"""The file with the declared order of inputs and outputs, which the signatures
of a SavedModel do not have. TensorFlow reserves the folder for users' files."""


class _TensorFlowRunner:
    """A SavedModel that is run by TensorFlow.

    `order` has the declared order of the names of "inputs" and "outputs".
    """

    def __init__(self, module: Any, order: Mapping[str, list[str]]):
        # A module's functions hold only weak references to its variables.
        self._module = module
        self._function = function = module.signatures[SIGNATURE]
        _, inputs = function.structured_input_signature
        self.inputs = _declared(inputs, order["inputs"])
        self.outputs = _declared(function.structured_outputs, order["outputs"])

    def run(self, feeds: Mapping[str, np.ndarray]) -> dict[str, np.ndarray]:
        """Compute every output from arrays keyed by input name."""
        import tensorflow as tf

        check_feeds(self.inputs, feeds)
        tensors = {name: tf.constant(array) for name, array in feeds.items()}
        outputs = self._function(**tensors)
        return {spec.name: outputs[spec.name].numpy() for spec in self.outputs}


def _declared(tensors: Mapping, names: list[str]) -> tuple[TensorSpec, ...]:
    """Return TensorFlow's specs as ours, in the order of `names`."""
    if set(tensors) != set(names):
        raise ValueError(
            f"its signature has {sorted(tensors)}, expected {names}"
        )
    return tuple(
        TensorSpec(
            name, tuple(tensors[name].shape), tensors[name].dtype.name
        ).check()
        for name in names
    )


def open_runner(path: Path, threads: int | None = None) -> Runner:
    """Load a SavedModel that this exporter wrote.

    Args:
        path: the SavedModel's folder.
        threads: threads that one operation may use. TensorFlow fixes the
            number for the process at its first operation. Defaults to `None`:
            one per core.
    """
    try:
        import tensorflow as tf
    except ImportError as error:
        raise missing(str(path), "tensorflow", error) from error
    if threads is not None:
        try:
            tf.config.threading.set_intra_op_parallelism_threads(threads)
        except RuntimeError as error:
            raise RequestError(
                f"received threads={threads}, but TensorFlow already runs in "
                "this process with another number; use a new process"
            ) from error
    with reading(path, DAMAGED):
        return _TensorFlowRunner(tf.saved_model.load(str(path)), _order(path))


def read_specs(path: Path) -> Specs:
    """Return the inputs and outputs of a SavedModel, which is not loaded.

    A SavedModel is a program, parts of which run when it is loaded.
    """
    try:
        from tensorflow.core.protobuf.saved_model_pb2 import SavedModel
        from tensorflow.dtypes import as_dtype
    except ImportError as error:
        raise missing(str(path), "tensorflow", error) from error

    def declared(tensors, names):
        return tuple(
            TensorSpec(
                name,
                tuple(
                    None if axis.size < 0 else axis.size
                    for axis in tensors[name].tensor_shape.dim
                ),
                as_dtype(tensors[name].dtype).name,
            ).check()
            for name in names
        )

    with reading(path, DAMAGED):
        content = (path / "saved_model.pb").read_bytes()
        (graph,) = SavedModel.FromString(content).meta_graphs
        signature = graph.signature_def[SIGNATURE]
        order = _order(path)
        return (
            declared(signature.inputs, order["inputs"]),
            declared(signature.outputs, order["outputs"]),
        )


def _order(path: Path) -> dict[str, list[str]]:
    return json.loads((path / ORDER_FILE).read_text(encoding="utf-8"))
