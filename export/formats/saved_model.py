"""SavedModel: TensorFlow's own format, each weight written once."""

import json
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from keras_inception_export.errors import (
    ArtifactError,
    ConversionError,
    RequestError,
    RuntimeMissingError,
    reason_of,
)
from keras_inception_export.signature import (
    Runner,
    TensorSpec,
    check_feeds,
)

if TYPE_CHECKING:
    from keras_inception_export.twin import InferenceTwin

SIGNATURE = "serving_default"
# The signatures of a SavedModel are maps without an order. `assets.extra` is
# the folder that TensorFlow sets aside for a user's own files.
ORDER_FILE = Path("assets.extra", "signature.json")


def write(twin: "InferenceTwin", path: Path, *, opset: int) -> None:
    """Write the twin as a SavedModel folder.

    Args:
        twin: the model; traced with `training=False`.
        path: the folder to create.
        opset: not used; it is ONNX's.
    """

    def serve(**feeds: Any) -> dict[str, Any]:
        outputs = twin.call(*(feeds[spec.name] for spec in twin.inputs))
        names = (spec.name for spec in twin.outputs)
        return dict(zip(names, outputs, strict=True))

    save_function(serve, twin.inputs, path, twin.model)
    order = {
        "inputs": [spec.name for spec in twin.inputs],
        "outputs": [spec.name for spec in twin.outputs],
    }
    order_file = path / ORDER_FILE
    order_file.parent.mkdir()
    order_file.write_text(json.dumps(order, indent=2) + "\n", encoding="utf-8")


def save_function(
    function: Callable[..., Mapping[str, Any]],
    inputs: tuple[TensorSpec, ...],
    path: Path,
    model: Any,
) -> None:
    """Trace a function of keyword tensors and save it as `serving_default`.

    The `tf.Module` that is saved holds the variables the trace captured, and
    nothing else: a Keras layer in it would write its weights a second time.

    Args:
        function: takes tensors by the names in `inputs`, returns them by name.
        inputs: what to trace it with.
        path: the folder to create.
        model: the Keras model that the function calls.

    Raises:
        ConversionError: TensorFlow cannot trace the model.
    """
    import tensorflow as tf

    specs = {
        spec.name: tf.TensorSpec(spec.shape, spec.dtype, spec.name)
        for spec in inputs
    }
    traced = tf.function(function, autograph=False)
    try:
        concrete = traced.get_concrete_function(**specs)
    except Exception as error:
        raise ConversionError(
            f"TensorFlow cannot trace the model: {reason_of(error)}"
        ) from error
    module = tf.Module()
    module.weights = list(concrete.variables)
    module.tables = _lookup_tables(model)
    tf.saved_model.save(module, str(path), signatures={SIGNATURE: concrete})


def _lookup_tables(model: Any) -> list:
    """Find the hash tables of preprocessing layers; no list in Keras has them.

    A table is a resource that `tf.saved_model.save` refuses unless the saved
    object holds it.
    """
    import tensorflow as tf

    return [
        value
        for layer in model._flatten_layers()
        for value in vars(layer).values()
        if isinstance(value, tf.saved_model.experimental.TrackableResource)
    ]


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
