"""The calibrated model, on a block of two branches that is built by hand."""

import numpy as np
import pytest

from keras_inception_export.errors import ConversionError
from keras_inception_export.formats.quantizer import kernel_scale
from keras_inception_export.formats.tflite.flatbuffer import Structure
from keras_inception_export.formats.tflite.quantize.calibrated_model import (
    CalibratedModel,
)
from tests.helpers.tflite_models import tflite_model

KERNELS = {
    f"{layer}/kernel": np.random.default_rng(size)
    .standard_normal((size, 1, 1, 2))
    .astype("float32")
    for size, layer in enumerate(("stem", "left", "right", "deep", "scores"), 2)
}
STEPS = [
    ("CONV_2D", ["image", "stem/kernel"], "stem"),
    ("RELU", ["stem"], "relu"),
    ("CONV_2D", ["relu", "left/kernel"], "left"),
    ("CONV_2D", ["relu", "right/kernel"], "right"),
    ("CONCATENATION", ["left", "right"], "joined"),
    ("DEPTHWISE_CONV_2D", ["joined", "deep/kernel"], "deep"),
    ("REVERSE_V2", ["deep"], "reversed"),
    ("FULLY_CONNECTED", ["reversed", "scores/kernel"], "scores"),
    ("SOFTMAX", ["scores"], "classes"),
]
COMPUTED = [result for _, _, result in STEPS]
TENSORS = (
    {"image": (1, 4, 4, 2)}
    | KERNELS
    | {name: (1, 4, 4, 2) for name in COMPUTED}
)
NAMES = list(TENSORS)
SAMPLES = [np.float32([[-5, 5]])]
RANGES = np.float32([(-i, i) for i in range(len(COMPUTED))])


def block(kernels=None):
    data = tflite_model(TENSORS, STEPS, ["image"], ["classes"])
    return CalibratedModel(Structure(data), kernels or {})


def saved(model, path, float_layers=(), integer_io=False, ranges=RANGES):
    """Save a calibrated model; return it, and the names to keep in float."""
    model.calibrate(SAMPLES, ranges)
    in_float = model.save_calibrated(path, float_layers, integer_io, integer_io)
    numbers = {f"tensor_{i}.": name for i, name in enumerate(NAMES)}
    return Structure(path.read_bytes()), [numbers[name] for name in in_float]


def test_layers_are_in_execution_order():
    assert block().layers == ("stem", "left", "right", "deep", "scores")


def test_every_computed_tensor_is_measured(tmp_path):
    path = tmp_path / "model.tflite"
    model = block()
    model.save_for_calibration(path)
    outputs = Structure(path.read_bytes()).graph.outputs
    assert [NAMES[index] for index in outputs] == COMPUTED
    structure, _ = saved(model, path)
    assert [NAMES[index] for index in structure.graph.outputs] == ["classes"]


def test_samples_must_be_finite():
    samples = np.copy(SAMPLES)
    samples[0, 0, 0] = np.nan
    with pytest.raises(ConversionError, match="'image' is not finite"):
        block().calibrate(samples, RANGES)


def test_what_is_infinite_computes_in_float(tmp_path):
    ranges = RANGES.copy()
    ranges[COMPUTED.index("deep"), 0] = -np.inf
    path = tmp_path / "model.tflite"
    _, in_float = saved(block(), path, ranges=ranges)
    assert in_float == ["joined", "deep", *ALWAYS]


ALWAYS = ["reversed", "classes"]


@pytest.mark.parametrize(
    ("float_layers", "integer_io", "expected"),
    [
        ([], False, ALWAYS),
        ([], True, ["reversed"]),
        # One float branch does not keep the concatenation in float.
        (["left"], False, ["left", *ALWAYS]),
        (
            ["left", "right"],
            False,
            ["relu", "left", "right", "joined", *ALWAYS],
        ),
        (["stem"], False, ["stem", "relu", *ALWAYS]),
        (["deep"], False, ["joined", "deep", *ALWAYS]),
        (["scores"], True, ["reversed", "scores", "classes"]),
        (["stem", "left", "right", "deep", "scores"], True, COMPUTED),
    ],
)
def test_operators_that_compute_in_float(
    float_layers, integer_io, expected, tmp_path
):
    _, in_float = saved(
        block(), tmp_path / "model.tflite", float_layers, integer_io
    )
    assert sorted(in_float) == sorted(expected)


@pytest.mark.parametrize(
    ("float_layers", "without"),
    [
        ([], set()),
        # Joined tensors share one scale: all their ranges stay known.
        (["left"], set()),
        (["left", "right", "deep"], {"left", "right", "joined"}),
        (["deep", "scores"], {"deep", "reversed", "scores", "classes"}),
    ],
)
def test_ranges_are_known_where_integers_compute(
    float_layers, without, tmp_path
):
    structure, _ = saved(block(), tmp_path / "model.tflite", float_layers)
    ranges = {}
    for name in ("image", *COMPUTED):
        found = structure.tensors[NAMES.index(name)].quantization
        if len(found.min):
            ranges[name] = found.min[0], found.max[0]
    assert set(ranges) == {"image", *COMPUTED} - without
    assert ranges["image"] == (-5, 5)
    assert ranges["relu"] == tuple(RANGES[COMPUTED.index("relu")])


@pytest.mark.parametrize(
    ("last", "copied", "wider"),
    [("RESHAPE", "scores", 1.25), ("LOGISTIC", "scores", 1)],
)
def test_an_output_has_headroom_unless_it_is_bounded(
    last, copied, wider, tmp_path
):
    steps = [*STEPS[:-1], (last, ["scores"], "classes")]
    data = tflite_model(TENSORS, steps, ["image"], ["classes"])
    model = CalibratedModel(Structure(data), {})
    structure, _ = saved(model, tmp_path / "m.tflite", integer_io=True)
    for name in (copied, "classes"):
        low, high = RANGES[COMPUTED.index(name)]
        found = structure.tensors[NAMES.index(name)].quantization
        np.testing.assert_allclose(found.min[0], wider * low)
        np.testing.assert_allclose(found.max[0], wider * high)


def test_kernels_are_rounded_to_the_given_integers(tmp_path):
    """Integers that are not near the weights belong to another kernel."""
    nearest = {
        path: np.rint(kernel / kernel_scale(kernel, axis=0))
        for path, kernel in KERNELS.items()
    }
    integers = {path: np.moveaxis(k, 0, -1) for path, k in nearest.items()}
    integers["right/kernel"] = integers["right/kernel"] + 9
    path = tmp_path / "model.tflite"
    structure, _ = saved(block(integers), path, ["left"])
    rounded = []
    for name, kernel in KERNELS.items():
        found = structure.weights(NAMES.index(name))
        if not np.array_equal(found, kernel):
            rounded.append(name)
            scale = kernel_scale(kernel, axis=0)
            np.testing.assert_array_equal(found, nearest[name] * scale)
    assert rounded == ["stem/kernel", "scores/kernel"]


def test_names_are_restored():
    model = block()
    tensors = {"tensor_0.": (1,), "tensor_0.1": (1,), "other": (1,)}
    steps = [("QUANTIZE", ["tensor_0."], "tensor_0.1")]
    data = tflite_model(tensors, steps, ["tensor_0."], ["tensor_0.1"])
    structure = Structure(data)
    model.restore_names(structure)
    names = [structure.name_of(index) for index in range(3)]
    assert names == ["image", "image:1", "other"]
