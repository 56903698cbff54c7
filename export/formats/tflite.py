"""TFLite: builtin operators only, run by LiteRT."""

import json
import os
import subprocess
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
from keras_inception_export.formats.children import last_words, run_script
from keras_inception_export.formats.saved_model import (
    SIGNATURE,
    save_function,
)
from keras_inception_export.formats.scopes import recorded
from keras_inception_export.formats.tflite_convert import REFUSED
from keras_inception_export.formats.tflite_flatbuffer import (
    LargeWeight,
    Structure,
)
from keras_inception_export.formats.tflite_names import (
    keras_name,
    name_kernels,
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
        structure = _convert(twin, weights, path.parent, "float32")
        named = [(f"weight_{i}", w) for i, w in enumerate(weights)]
        weights = [w for name, w in named if structure.is_weight(name)]
        if len(weights) == len(named):
            break
    _write(structure, twin, path, named)


def write_reduced(twin: "InferenceTwin", path: Path, scheme: str) -> None:
    """Write the twin with weights of fewer bits.

    Args:
        twin: the model; traced with `training=False`.
        path: the file to write.
        scheme: "float16" or "dynamic".

    Raises:
        ConversionError: an operation has no builtin TFLite operator.
    """
    structure = _convert(twin, [], path.parent, scheme)
    _write(structure, twin, path, [])


def _write(
    structure: Structure,
    twin: "InferenceTwin",
    path: Path,
    weights: Sequence[tuple[str, LargeWeight]],
) -> None:
    structure.write(
        path,
        [(f"input_{i}", s.name) for i, s in enumerate(twin.inputs)],
        [(f"output_{i}", s.name) for i, s in enumerate(twin.outputs)],
        weights,
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
    twin: "InferenceTwin",
    weights: Sequence[LargeWeight],
    folder: Path,
    scheme: str,
) -> Structure:
    """Convert in a child process, with `weights` as inputs of the graph.

    Args:
        twin: the model.
        weights: what is an input, `weight_0` and so on.
        folder: where there is room for temporary files.
        scheme: what `tflite_convert.py` calls the type of the weights.

    Returns:
        The converted model, its tensors and kernels bearing Keras's names.
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
    scopes: dict[str, str] = {}
    with tempfile.TemporaryDirectory(prefix=".tflite-", dir=folder) as room:
        saved_model = Path(room, "saved_model")
        converted = Path(room, "converted.tflite")
        with recorded(twin.model, scopes):
            save_function(serve, tuple(inputs), saved_model, twin.model)
        child = run_script("tflite_convert", saved_model, converted, scheme)
        if child.returncode:
            raise ConversionError(_explain(child, scopes))
        structure = Structure(converted.read_bytes())
    structure.rename(lambda name: keras_name(name, scopes))
    name_kernels(structure, twin.model)
    return structure


def _explain(
    child: subprocess.CompletedProcess, scopes: Mapping[str, str]
) -> str:
    """Say in one line why the converter failed, and in which layers."""
    if child.returncode != REFUSED:
        words = last_words(child.returncode, child.stderr)
        return f"the TFLite converter {words}"
    report = json.loads(child.stdout.splitlines()[-1])
    reason = report["message"].partition("\n")[0]
    if not report["places"]:
        return f"the TFLite converter refuses the model: {reason}"
    refused = set()
    for operator, scope in report["places"]:
        # TensorFlow names the function behind an `@`.
        steps = scope.partition("@")[0].split("/")
        within = ["/".join(steps[:end]) for end in range(1, len(steps) + 1)]
        names = [scopes[x].rpartition("/")[2] for x in within if x in scopes]
        where = f"layer '{'/'.join(names)}'" if names else "outside the layers"
        refused.add(f"{operator.removeprefix('tf.')} ({where})")
    cure = "change the model, or leave the format tflite out"
    if "TensorList" in reason:
        cure = "recurrent layers need a known batch size, give one"
    return (
        "TFLite's builtin operators cannot express "
        f"{', '.join(sorted(refused))}: {cure}"
    )


class _LiteRTRunner:
    """A TFLite file run by LiteRT, with XNNPACK where it can."""

    def __init__(self, interpreter: Any):
        self._signature = interpreter.get_signature_runner(SIGNATURE)
        self.inputs = _declared(
            self._signature.get_input_details(), interpreter.get_input_details()
        )
        self.outputs = _declared(
            self._signature.get_output_details(),
            interpreter.get_output_details(),
        )

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
    return tuple(_spec(name, named[name]) for name in order)


def _spec(name: str, details: Mapping[str, Any]) -> TensorSpec:
    sizes = details["shape_signature"]
    scale, zero_point = details["quantization"]
    return TensorSpec(
        name,
        tuple(None if size < 0 else int(size) for size in sizes),
        np.dtype(details["dtype"]).name,
        # LiteRT gives a scale of 0 to what is not quantized.
        float(scale) or None,
        int(zero_point),
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
    try:
        from ai_edge_litert.interpreter import Interpreter
    except ImportError as error:
        raise RuntimeMissingError(
            f"{path} needs LiteRT: pip install ai-edge-litert"
        ) from error
    try:
        return _LiteRTRunner(
            Interpreter(
                model_path=str(path), num_threads=threads or os.cpu_count()
            )
        )
    except (ValueError, RuntimeError) as error:
        reason = str(error).partition("\n")[0]
        raise ArtifactError(
            f"{path} is not a complete TFLite file of this exporter: {reason}"
        ) from error
