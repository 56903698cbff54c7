"""SavedModel artifacts, served by TensorFlow."""

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np

from keras_inception_export.data.tensor_spec import TensorSpec, check_feeds
from keras_inception_export.errors import (
    ArtifactError,
    RequestError,
    RuntimeMissingError,
)
from keras_inception_export.formats.format import Runner

SIGNATURE = "serving_default"
# The signatures of a SavedModel are maps without an order. `assets.extra` is
# the folder that TensorFlow sets aside for a user's own files.
ORDER_FILE = Path("assets.extra", "signature.json")


class _TensorFlowRunner:
    """A SavedModel served by TensorFlow."""

    def __init__(self, module: Any, order: Mapping[str, list[str]]):
        """Put the tensors of a loaded signature in the declared order.

        Args:
            module: what was loaded. It is kept, because its functions hold
                their variables by weak references only.
            order: the names under "inputs" and "outputs".
        """
        self._module = module
        function = module.signatures[SIGNATURE]
        _, inputs = function.structured_input_signature
        self._function = function
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
    """Turn TensorFlow's specs into ours, in the order of `names`."""
    if set(tensors) != set(names):
        raise ValueError(f"its signature has {sorted(tensors)}, not {names}")
    return tuple(
        TensorSpec(
            name,
            tuple(tensors[name].shape.as_list()),
            tensors[name].dtype.name,
        )
        for name in names
    )


def open_runner(path: Path, threads: int | None = None) -> Runner:
    """Load a SavedModel that `write` made.

    Args:
        path: the SavedModel's folder.
        threads: threads one operation may use. TensorFlow fixes the number
            for the process at its first operation. Default: all cores.

    Raises:
        RuntimeMissingError: TensorFlow is not installed.
        RequestError: TensorFlow already runs with another number of threads.
        ArtifactError: the folder is missing, damaged, or of another program.
    """
    try:
        import tensorflow as tf
    except ImportError as error:
        raise RuntimeMissingError(
            f"{path} needs TensorFlow: pip install tensorflow"
        ) from error
    if threads is not None:
        try:
            tf.config.threading.set_intra_op_parallelism_threads(threads)
        except RuntimeError as error:
            raise RequestError(
                f"received threads={threads}, but TensorFlow already runs in "
                "this process with another number: use a new process"
            ) from error
    # What a damaged file raises is not documented: OSError, ValueError,
    # AttributeError and errors of TensorFlow and protobuf were all seen.
    try:
        order = json.loads((path / ORDER_FILE).read_text(encoding="utf-8"))
        return _TensorFlowRunner(tf.saved_model.load(str(path)), order)
    except Exception as error:
        reason = str(error).partition("\n")[0]
        raise ArtifactError(
            f"{path} is not a complete SavedModel of this exporter: {reason}"
        ) from error
