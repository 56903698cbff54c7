"""Replace the artifacts of a bundle by wrong ones, and see which are noticed.

    python benchmarks/sabotage.py [--formats onnx,tflite] [--quantize int8]
        [--only "KIND;..."]

Each kind of fault is built into a copy of the model; its artifacts, which are
written without any check, take the place of the right ones, with their hashes
in the report. `verify` must refuse each and name the layer with the fault. The
table shows the largest difference as a multiple of the tolerance: what differs
by less than once the tolerance is, by definition, not noticed. That of int8 is
1.5 times the error of the right artifact. After an exclamation mark is what was
said instead of the layer.
"""

import argparse
import itertools
import json
import shutil
import tempfile
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import keras
import numpy as np
from keras import layers

from keras_inception_export import verify
from keras_inception_export.bundle.bundle import PROBES, REPORT, sha256_of
from keras_inception_export.data.preprocessing import PRESETS
from keras_inception_export.data.samples import load_samples
from keras_inception_export.formats.registry import FORMATS
from keras_inception_export.model.inference_model import to_inference_model
from keras_inception_export.options import ExportOptions
from keras_inception_export.pipeline.export_model import run_export
from keras_inception_export.quantization.artifact_writer import ArtifactWriter
from keras_inception_export.quantization.evaluation import Evaluation
from keras_inception_export.quantization.split import split
from keras_inception_export.verification.probes import Probes

RIGHT: dict[str, Any] = {
    "activation": "relu",
    "dilation": 1,
    "epsilon": 1e-3,
    "pool": layers.MaxPooling2D,
    "pool_padding": "valid",
    "padding": "same",
    "branches": "abc",
    "slope": 0.3,
    "interpolation": "nearest",
    "norm_epsilon": 1e-3,
    "average": layers.GlobalAveragePooling2D,
    "gelu": "gelu",
    "scores": "softmax",
    "residual": layers.Add,
    "twice": False,
    "scale": 1.0,
    "swapped": False,
}
"""The properties of the right model, one of which a fault may change."""


def network(**changes) -> keras.Model:
    """Return a network with one layer of many kinds, and two outputs."""
    p = {**RIGHT, **changes}
    image = keras.Input((16, 16, 3), name="image")
    x = layers.Rescaling(p["scale"], name="rescaling")(image)
    stem = layers.Conv2D(
        8, 3, padding=p["padding"], dilation_rate=p["dilation"], name="stem"
    )
    x = stem(x)
    if p["padding"] == "valid":  # all of the missing rows at the bottom
        x = layers.ZeroPadding2D(((0, 2), (0, 2)), name="moved")(x)
    x = layers.BatchNormalization(epsilon=p["epsilon"], name="stem_bn")(x)
    x = layers.Activation(p["activation"], name="stem_activation")(x)
    x = layers.DepthwiseConv2D(3, padding="same", name="depthwise")(x)
    x = p["pool"](2, padding=p["pool_padding"], name="pool")(x)
    branches = {
        "a": layers.Conv2D(8, 1, activation="relu", name="branch_a"),
        "b": layers.Conv2D(
            8, 3, padding="same", activation="relu", name="branch_b"
        ),
        "c": layers.AveragePooling2D(3, 1, "same", name="branch_c"),
    }
    parts = [branches[name](x) for name in p["branches"]]
    x = layers.Concatenate(name="join")(parts)
    kernel = layers.Conv2D(24, 3, padding="same", name="residual")
    x = p["residual"](name="add")([x, kernel(x)])
    x = layers.LeakyReLU(negative_slope=p["slope"], name="leaky")(x)
    up = layers.UpSampling2D(2, interpolation=p["interpolation"], name="up")
    x = up(x)
    x = layers.LayerNormalization(epsilon=p["norm_epsilon"], name="norm")(x)
    x = p["average"](name="average")(x)
    hidden = layers.Dense(24, activation=p["gelu"], name="hidden")
    x = hidden(hidden(x)) if p["twice"] else hidden(x)
    scores = layers.Dense(6, activation=p["scores"], name="scores_head")(x)
    boxes = layers.Dense(6, name="boxes_head")(x)
    if p["swapped"]:
        scores, boxes = boxes, scores
    return keras.Model(image, {"scores": scores, "boxes": boxes}, name="net")


@dataclass(frozen=True)
class Fault:
    """A kind of wrong artifact.

    Args:
        layer: where it is, as `verify` must say.
        changes: the properties of the network that it changes.
        weights: changes the weights in place, given as a dictionary by path.
        also: other layers that may be named, such as those that a format
            computes together with `layer`.
    """

    layer: str
    changes: Mapping[str, Any] = field(default_factory=dict)
    weights: Callable[[dict[str, np.ndarray]], None] | None = None
    also: tuple[str, ...] = ()


def _weight(path: str, change: Callable, **kwargs) -> Fault:
    """Return a fault that replaces one weight by a function of it."""

    def edit(weights):
        weights[path] = change(weights[path].copy())

    return Fault(path.split("/")[0], weights=edit, **kwargs)


def _set(index, factor: float) -> Callable:
    """Return a function that multiplies some elements of an array."""

    def change(array):
        array[index] *= factor
        return array

    return change


def _exchange(*paths: str) -> Fault:
    """Return a fault that exchanges two weights of one shape."""

    def edit(weights):
        first, second = paths
        weights[first], weights[second] = weights[second], weights[first]

    layer, other = (path.split("/")[0] for path in paths)
    return Fault(layer, weights=edit, also=(other,))


def _bfloat16(array):
    bits = array.astype("float32").view("uint32") & np.uint32(0xFFFF0000)
    return bits.view("float32")


STEM = {"also": ("stem", "stem_bn", "stem_activation")}
FAULTS = {
    # Kernels
    "kernel negated": _weight("stem/kernel", np.negative, **STEM),
    "kernel x 1.001": _weight("residual/kernel", _set(..., 1.001)),
    "kernel x 1.00001": _weight("residual/kernel", _set(..., 1.00001)),
    "kernel flipped": _weight("branch_b/kernel", lambda k: k[::-1, ::-1]),
    "kernel transposed": _weight(
        "branch_b/kernel", lambda k: k.transpose(1, 0, 2, 3)
    ),
    "kernel shifted": _weight("branch_b/kernel", lambda k: np.roll(k, 1, 1)),
    "channel in, zero": _weight("branch_a/kernel", _set(np.s_[:, :, 3], 0)),
    "channel out, zero": _weight("branch_a/kernel", _set(np.s_[..., 3], 0)),
    "channels out, swapped": _weight(
        "residual/kernel", lambda k: k[..., [1, 0, *range(2, 24)]]
    ),
    "channels in, swapped": _weight(
        "stem/kernel", lambda k: k[:, :, ::-1], **STEM
    ),
    "one weight, 0": _weight("residual/kernel", _set((0, 0, 5, 5), 0)),
    "one weight, 1 % more": _weight(
        "residual/kernel", _set((1, 1, 5, 5), 1.01)
    ),
    "kernel in float16": _weight(
        "residual/kernel", lambda k: k.astype("float16").astype("float32")
    ),
    "kernel in bfloat16": _weight("residual/kernel", _bfloat16),
    "kernel in 8 bits": _weight(
        "residual/kernel", lambda k: np.round(k / k.max() * 127) * k.max() / 127
    ),
    "depthwise, channels rolled": _weight(
        "depthwise/kernel", lambda k: np.roll(k, 1, 2)
    ),
    "dense, row 0 zero": _weight("hidden/kernel", _set(0, 0)),
    "dense, columns reversed": _weight(
        "scores_head/kernel", lambda k: k[:, ::-1]
    ),
    "dense, transposed": _weight("hidden/kernel", np.transpose),
    "kernels of two layers": _exchange(
        "scores_head/kernel", "boxes_head/kernel"
    ),
    # Biases and statistics
    "bias lost": _weight("residual/bias", np.zeros_like),
    "bias negated": _weight("depthwise/bias", np.negative),
    "bias + 0.001": _weight("branch_a/bias", lambda b: b + np.float32(1e-3)),
    "bias, last element": _weight("boxes_head/bias", _set(-1, 1.1)),
    "biases of two layers": _exchange("branch_a/bias", "branch_b/bias"),
    "mean lost": _weight("stem_bn/moving_mean", np.zeros_like, **STEM),
    "variance for deviation": _weight(
        "stem_bn/moving_variance", np.square, **STEM
    ),
    "gamma lost": _weight("stem_bn/gamma", np.ones_like, **STEM),
    "beta lost": _weight("stem_bn/beta", np.zeros_like, **STEM),
    "epsilon of batch norm": Fault("stem_bn", {"epsilon": 1e-5}, **STEM),
    "epsilon of layer norm": Fault("norm", {"norm_epsilon": 1e-6}),
    "layer norm, gamma lost": _weight("norm/gamma", np.ones_like),
    # Structure
    "no activation": Fault("stem_activation", {"activation": None}, **STEM),
    "relu6": Fault("stem_activation", {"activation": "relu6"}, **STEM),
    "elu": Fault("stem_activation", {"activation": "elu"}, **STEM),
    "gelu, approximate": Fault(
        "hidden", {"gelu": lambda x: keras.activations.gelu(x, True)}
    ),
    "slope 0.2": Fault("leaky", {"slope": 0.2}, also=("add",)),
    "softmax lost": Fault("scores_head", {"scores": None}),
    "sigmoid for softmax": Fault("scores_head", {"scores": "sigmoid"}),
    "dilated": Fault("stem", {"dilation": 2}, **STEM),
    "padded on one side": Fault("stem", {"padding": "valid"}, **STEM),
    "average for maximum": Fault("pool", {"pool": layers.AveragePooling2D}),
    "maximum for average": Fault(
        "average", {"average": layers.GlobalMaxPooling2D}
    ),
    "branches in another order": Fault("join", {"branches": "bac"}),
    "residual subtracted": Fault("add", {"residual": layers.Subtract}),
    "residual multiplied": Fault("add", {"residual": layers.Multiply}),
    "bilinear for nearest": Fault("up", {"interpolation": "bilinear"}),
    "a layer twice": Fault("hidden", {"twice": True}),
    "input x 1/255": Fault("rescaling", {"scale": 1 / 255}, also=("stem",)),
    "outputs exchanged": Fault(
        "scores_head", {"swapped": True}, also=("boxes_head",)
    ),
}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--formats", default="saved_model,tflite,onnx")
    parser.add_argument("--only", help="kinds of fault, separated by ;")
    parser.add_argument("--quantize", help="a scheme, in place of float32")
    options = parser.parse_args()
    rng = np.random.default_rng(0)
    weights = {x.path: _value(x, rng) for x in network().weights}
    right = _build(Fault("none"), weights)
    kinds = options.only.split(";") if options.only else list(FAULTS)
    with tempfile.TemporaryDirectory() as workdir:
        bundle = Path(workdir) / "right"
        writing = ExportOptions(
            output_dir=bundle,
            formats=options.formats.split(","),
            samples=rng.uniform(0, 1, (120, 16, 16, 3)).astype("float32"),
            quantize=[options.quantize] if options.quantize else (),
        )
        run_export(right, writing)
        assert all(result.passed for result in verify(bundle))  # noqa: S101
        for kind in kinds:
            wrong = _build(FAULTS[kind], weights)
            _report(kind, FAULTS[kind], wrong, bundle, writing)


def _value(variable, rng) -> np.ndarray:
    """Return a random value that keeps activations in range."""
    if variable.name in ("moving_variance", "gamma"):
        return rng.uniform(0.5, 1.5, variable.shape).astype("float32")
    value = rng.normal(size=variable.shape).astype("float32")
    if "kernel" not in variable.name:
        return 0.3 * value
    inputs = np.prod(variable.shape[:-1])
    if variable.path.startswith("depthwise"):
        inputs = np.prod(variable.shape[:2])
    return value * np.float32(np.sqrt(2 / inputs))


def _build(fault: Fault, weights: Mapping[str, np.ndarray]) -> keras.Model:
    """Return the network with a fault."""
    model, weights = network(**fault.changes), dict(weights)
    if fault.weights:
        fault.weights(weights)
    for variable in model.weights:
        variable.assign(weights[variable.path])
    return model


def _report(kind, fault, wrong, bundle: Path, options) -> None:
    """Put wrong artifacts in place of the right ones, and print the result."""
    with tempfile.TemporaryDirectory() as workdir:
        altered = Path(workdir) / "altered"
        shutil.copytree(bundle, altered)
        report = json.loads((altered / REPORT).read_text())
        replaced = [
            entry["quantization"] in (options.quantize or [None])
            for entry in report["artifacts"]
        ]
        entries = list(itertools.compress(report["artifacts"], replaced))
        _write(wrong, entries, altered, options)
        for entry in entries:
            entry["sha256"] = sha256_of(altered / entry["path"])
        (altered / REPORT).write_text(json.dumps(report))
        for result in itertools.compress(verify(altered), replaced):
            _print(kind, fault, result)


def _write(model, entries, folder: Path, options) -> None:
    """Write artifacts as an export does, whatever they compute."""
    inference_model = to_inference_model(model)
    inputs = inference_model.inputs
    samples = load_samples(options.samples, inputs, PRESETS["none"])
    evaluation = Evaluation.of(model, split(samples), options)
    probes = Probes.load(folder / PROBES)
    with tempfile.TemporaryDirectory() as workdir:
        writer = ArtifactWriter(
            inference_model, evaluation, probes, folder, Path(workdir), options
        )
        for entry in entries:
            record, path = FORMATS[entry["format"]], folder / entry["path"]
            if path.is_dir():
                shutil.rmtree(path)
            if scheme := entry["quantization"]:
                quantizer = writer.quantizer(record.name, scheme)
                kept = entry["float_layers"]
                quantizer.write(path, scheme, float_layers=kept)
            else:
                record.write(inference_model, path, opset=options.opset)


def _print(kind, fault, result) -> None:
    """Print a row of the table: the layer that is named, or all findings."""
    ratio = max((x.max_error / x.tolerance for x in result.parity), default=0)
    text = " ".join(result.findings)
    layer = text.partition("first layer that diverges is ")[2]
    named = [
        x
        for x in (fault.layer, *fault.also)
        if x in layer.partition(" (")[0].strip('"').split(" + ")
    ]
    print(
        f"{kind:26} {result.name:14} "
        f"{'passes' if result.passed else 'caught':7}"
        f"{ratio:12.3g}  {named[0] if named else '! ' + (layer or text)}",
        flush=True,
    )


if __name__ == "__main__":
    main()
