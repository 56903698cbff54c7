"""Run SavedModel artifacts with TensorFlow, which is imported when needed."""

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np

from keras_inception_export.data.reading import reading
from keras_inception_export.data.tensor_spec import TensorSpec, check_feeds
from keras_inception_export.errors import RequestError
from keras_inception_export.formats.format import Runner, Specs, importing

SIGNATURE = "serving_default"
"""The signature of every artifact."""

DAMAGED = "is not a complete SavedModel of this exporter"

ORDER_FILE = Path("assets.extra", "signature.json")
"""The file with the declared order of inputs and outputs, which the signatures
of a SavedModel do not have. TensorFlow reserves the folder for users' files."""


class _TensorFlowRunner:
    """A SavedModel that is run by TensorFlow."""

    def __init__(self, module: Any, specs: Specs) -> None:
        # A module's functions hold only weak references to its variables.
        self._module = module
        self._function = module.signatures[SIGNATURE]
        self.inputs, self.outputs = specs

    def run(self, feeds: Mapping[str, np.ndarray]) -> dict[str, np.ndarray]:
        """Compute every output from arrays keyed by input name."""
        import tensorflow as tf

        check_feeds(self.inputs, feeds)
        tensors = {name: tf.constant(array) for name, array in feeds.items()}
        outputs = self._function(**tensors)
        return {spec.name: outputs[spec.name].numpy() for spec in self.outputs}


def open_runner(path: Path, threads: int | None = None) -> Runner:
    """Load a SavedModel that this exporter wrote.

    Args:
        path: the SavedModel's folder.
        threads: threads that one operation may use. TensorFlow fixes the
            number for the process at its first operation. Defaults to `None`:
            one per core.
    """
    with importing("tensorflow", path):
        import tensorflow as tf
    if threads is not None:
        try:
            tf.config.threading.set_intra_op_parallelism_threads(threads)
        except RuntimeError as error:
            raise RequestError(
                f"received threads={threads}, but TensorFlow already runs in "
                "this process with another number; use a new process"
            ) from error
    with reading(path, DAMAGED):
        specs = read_specs(path)
        return _TensorFlowRunner(tf.saved_model.load(str(path)), specs)


def read_specs(path: Path) -> Specs:
    """Return the inputs and outputs of a SavedModel, which is not loaded.

    A SavedModel is a program, parts of which run when it is loaded.
    """
    with importing("tensorflow", path):
        from tensorflow.core.protobuf.saved_model_pb2 import SavedModel
        from tensorflow.dtypes import as_dtype

    def declared(tensors: Mapping, names: list[str]) -> tuple[TensorSpec, ...]:
        if set(tensors) != set(names):
            raise ValueError(
                f"its signature has {sorted(tensors)}, expected {names}"
            )
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
        order = json.loads((path / ORDER_FILE).read_text(encoding="utf-8"))
        return (
            declared(signature.inputs, order["inputs"]),
            declared(signature.outputs, order["outputs"]),
        )
