"""TFLite: builtin operators only, run by LiteRT."""

import json
import os
import re
import subprocess
import sys
import tempfile
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from keras_inception_export.errors import (
    ArtifactError,
    ConversionError,
    RuntimeMissingError,
)
from keras_inception_export.formats.saved_model import (
    SIGNATURE,
    save_function,
)
from keras_inception_export.formats.tflite_convert import REFUSED
from keras_inception_export.formats.tflite_flatbuffer import (
    LargeWeight,
    Structure,
)
from keras_inception_export.signature import (
    Runner,
    TensorSpec,
    check_feeds,
)

if TYPE_CHECKING:
    from keras_inception_export.twin import InferenceTwin

# Weights of at least this many bytes are kept out of the conversion.
_LARGE = 2**20
# Layer class: (attribute of the weight, its axes in TFLite's order).
_LAYOUTS = {
    "Conv2D": ("kernel", (3, 0, 1, 2)),
    "Dense": ("kernel", (1, 0)),
    "Embedding": ("embeddings", (0, 1)),
}


def write(twin: "InferenceTwin", path: Path, *, opset: int) -> None:
    """Write the twin as a `.tflite` file.

    The converter's time and memory grow with the constants it holds (23 s
    and 3.5 GB were measured for 0.53 GB), so the large weights are inputs of
    the graph it converts, and constants again in the file that is written.

    Args:
        twin: the model; traced with `training=False`.
        path: the file to write.
        opset: not used; it is ONNX's.

    Raises:
        ConversionError: an operation has no builtin TFLite operator.
    """
    weights = _large_weights(twin.model)
    while True:
        structure = Structure(_convert(twin, weights, path.parent))
        named = [(f"weight_{i}", w) for i, w in enumerate(weights)]
        weights = [w for name, w in named if structure.is_weight(name)]
        if len(weights) == len(named):
            break
    structure.drop_scope(twin.model.name)
    structure.write(
        path,
        [(f"input_{i}", s.name) for i, s in enumerate(twin.inputs)],
        [(f"output_{i}", s.name) for i, s in enumerate(twin.outputs)],
        named,
    )


def _large_weights(model: Any) -> list[LargeWeight]:
    """List the large kernels and tables, each variable once."""
    import keras

    found = {}
    for layer in model._flatten_layers():
        for kind, (attribute, axes) in _LAYOUTS.items():
            if not isinstance(layer, getattr(keras.layers, kind)):
                continue
            variable = getattr(layer, attribute)
            # With LoRA the attribute is a sum, no variable.
            if isinstance(variable, keras.Variable):
                weight = LargeWeight(variable, axes)
                if weight.nbytes >= _LARGE:
                    found[id(variable)] = weight
    return list(found.values())


def _convert(
    twin: "InferenceTwin", weights: Sequence[LargeWeight], folder: Path
) -> bytes:
    """Convert in a child process, with `weights` as inputs of the graph.

    Args:
        twin: the model.
        weights: what is an input, `weight_0` and so on.
        folder: where there is room for temporary files.
    """
    import keras
    import tensorflow as tf

    def serve(**feeds: Any) -> dict[str, Any]:
        mapping = [
            (w.variable, tf.transpose(feeds[f"weight_{i}"], np.argsort(w.axes)))
            for i, w in enumerate(weights)
        ]
        tensors = [feeds[f"input_{i}"] for i in range(len(twin.inputs))]
        with keras.StatelessScope(state_mapping=mapping):
            outputs = twin.call(*tensors)
        return {f"output_{i}": tensor for i, tensor in enumerate(outputs)}

    inputs = [
        TensorSpec(f"input_{i}", spec.shape, spec.dtype)
        for i, spec in enumerate(twin.inputs)
    ] + [
        TensorSpec(f"weight_{i}", weight.shape, weight.variable.dtype)
        for i, weight in enumerate(weights)
    ]
    with tempfile.TemporaryDirectory(prefix=".tflite-", dir=folder) as room:
        saved_model = Path(room, "saved_model")
        structure = Path(room, "structure.tflite")
        save_function(serve, tuple(inputs), saved_model, twin.model)
        script = Path(__file__).with_name("tflite_convert.py")
        # -P keeps the script's folder, with its onnx.py, off the import path.
        child = subprocess.run(
            [sys.executable, "-P", script, saved_model, structure],
            env=os.environ | {"CUDA_VISIBLE_DEVICES": "-1"},
            capture_output=True,
            text=True,
            errors="replace",
        )
        if child.returncode:
            raise ConversionError(_explain(child, twin.model))
        return structure.read_bytes()


def _explain(child: subprocess.CompletedProcess, model: Any) -> str:
    """Say in one line why the converter failed, and in which layers."""
    if child.returncode != REFUSED:
        reason = child.stderr.strip().rpartition("\n")[2]
        return (
            f"the TFLite converter ended with status {child.returncode}, its "
            f"last words: {reason or 'none'}"
        )
    report = json.loads(child.stdout.splitlines()[-1])
    reason = report["message"].partition("\n")[0]
    if not report["places"]:
        return f"the TFLite converter refuses the model: {reason}"
    parts = [*model.operations, *model._flatten_layers(include_self=False)]
    layers = {part.name for part in parts}
    refused = sorted(
        {
            f"{operator.removeprefix('tf.')} ({_layer_path(scope, layers)})"
            for operator, scope in report["places"]
        }
    )
    cure = "change the model, or leave the format tflite out"
    if "TensorList" in reason:
        cure = "recurrent layers need a known batch size, give one"
    return (
        "TFLite's builtin operators cannot express "
        f"{', '.join(refused)}: {cure}"
    )


def _layer_path(scope: str, layers: set[str]) -> str:
    """Find the Keras layers in a TensorFlow name scope.

    Args:
        scope: `functional_1/block_1_1/conv_1/Conv2D@__inference_serve_36`;
            TensorFlow has made each layer's name unique with a suffix `_N`.
        layers: the names of all layers.
    """
    path = []
    for part in scope.partition("@")[0].split("/"):
        for name in (re.sub(r"_\d+$", "", part), part):
            if name in layers:
                path.append(name)
                break
    return f"layer '{'/'.join(path)}'" if path else "outside the layers"


class LiteRTRunner:
    """A TFLite file run by LiteRT, with XNNPACK where it can."""

    def __init__(self, interpreter: Any):
        self.interpreter = interpreter
        self._signature = interpreter.get_signature_runner(SIGNATURE)
        self.inputs = _declared(
            self._signature.get_input_details(), interpreter.get_input_details()
        )
        self.outputs = _declared(
            self._signature.get_output_details(),
            interpreter.get_output_details(),
        )
        self.output_names = {
            tensor["index"]: name
            for name, tensor in self._signature.get_output_details().items()
        }

    @classmethod
    def open(cls, path: Path, **options: Any) -> "LiteRTRunner":
        """Open a file with options of LiteRT's interpreter.

        Raises:
            RuntimeMissingError: LiteRT is not installed.
            ArtifactError: the file is missing, damaged, or has no signature
                `serving_default`.
        """
        try:
            from ai_edge_litert.interpreter import Interpreter
        except ImportError as error:
            raise RuntimeMissingError(
                f"{path} needs LiteRT: pip install ai-edge-litert"
            ) from error
        try:
            return cls(Interpreter(model_path=str(path), **options))
        except (ValueError, RuntimeError) as error:
            reason = str(error).partition("\n")[0]
            raise ArtifactError(
                f"{path} is not a complete TFLite file of this exporter: "
                f"{reason}"
            ) from error

    def run(self, feeds: Mapping[str, np.ndarray]) -> dict[str, np.ndarray]:
        """Compute every output from arrays keyed by input name."""
        check_feeds(self.inputs, feeds)
        # The signature resizes each input to the array it gets.
        outputs = self._signature(**feeds)
        return {spec.name: outputs[spec.name] for spec in self.outputs}


def _declared(named: Mapping[str, Any], listed: list) -> tuple[TensorSpec, ...]:
    """Order a signature's tensors, which LiteRT sorts by name, as listed."""
    places = {entry["index"]: place for place, entry in enumerate(listed)}
    order = sorted(named, key=lambda name: places[named[name]["index"]])
    return tuple(
        TensorSpec(
            name,
            tuple(
                None if size < 0 else int(size)
                for size in named[name]["shape_signature"]
            ),
            np.dtype(named[name]["dtype"]).name,
        )
        for name in order
    )


def open_runner(path: Path, threads: int | None = None) -> Runner:
    """Open a TFLite file that `write` made.

    Args:
        path: the `.tflite` file.
        threads: threads to compute with. Default: all cores.

    Raises:
        RuntimeMissingError: LiteRT is not installed.
        ArtifactError: the file is missing, damaged, or has no signature
            `serving_default`.
    """
    return LiteRTRunner.open(path, num_threads=threads or os.cpu_count())
