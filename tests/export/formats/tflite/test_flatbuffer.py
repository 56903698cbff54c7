"""The flatbuffer, on models that are built by hand."""

from types import SimpleNamespace

import numpy as np
import pytest

from keras_inception_export.errors import ConversionError
from keras_inception_export.formats.tflite import flatbuffer
from keras_inception_export.formats.tflite.flatbuffer import (
    Operator,
    Structure,
)
from keras_inception_export.formats.tflite.runtime import open_runner
from tests.helpers.tflite_models import tflite_model

DENSE = ("FULLY_CONNECTED", ["x", "kernel", None], "y")


def kernel(*shape, dtype="float32"):
    values = np.random.default_rng(len(shape)).standard_normal(shape)
    return values.astype(dtype)


def structure(tensors, operators, inputs=("x",), outputs=("y",)):
    tensors = {"x": (1, 3), "y": (1, 2), **tensors}
    return Structure(tflite_model(tensors, operators, inputs, outputs))


def test_operators_have_names_inputs_and_outputs():
    model = structure(
        {"kernel": kernel(2, 3), "z": (1, 2)}, [DENSE, ("RELU", ["y"], "z")]
    )
    assert list(model.operators()) == [
        Operator("FULLY_CONNECTED", (0, 2, -1), (1,)),
        Operator("RELU", (1,), (3,)),
    ]
    assert [x.kernel for x in model.operators()] == [2, -1]
    assert model.name_of(2) == "kernel"


@pytest.mark.parametrize(
    ("tensors", "before", "inputs", "expected"),
    [
        ({"kernel": kernel(2, 3)}, [], ["x"], ["kernel"]),
        (
            {"kernel": (2, 3), "half": kernel(2, 3, dtype="float16")},
            [("DEQUANTIZE", ["half"], "kernel")],
            ["x"],
            ["half"],
        ),
        # Not a constant, neither directly nor through another operator.
        ({"kernel": (2, 3)}, [], ["x", "kernel"], []),
        (
            {"kernel": (2, 3), "other": kernel(3, 2)},
            [("TRANSPOSE", ["other"], "kernel")],
            ["x"],
            [],
        ),
    ],
)
def test_kernels_are_constants(tensors, before, inputs, expected):
    model = structure(tensors, [*before, DENSE], inputs)
    found = [(x.name, model.name_of(index)) for x, index in model.kernels()]
    assert found == [("FULLY_CONNECTED", name) for name in expected]


@pytest.mark.parametrize(
    ("dtype", "expected"),
    [("float32", True), ("float16", True), ("int8", False)],
)
def test_is_float(dtype, expected):
    model = structure({"kernel": kernel(2, 3, dtype=dtype)}, [DENSE])
    assert model.is_float(2) == expected


@pytest.mark.parametrize(
    ("operators", "expected"),
    [
        ([("FULLY_CONNECTED", ["x", "kernel"], "y")], True),
        ([("CONV_2D", ["x", "kernel"], "y")], True),
        ([("GATHER", ["kernel", "x"], "y")], True),
        ([("FULLY_CONNECTED", ["kernel", "x"], "y")], False),
        ([("GATHER", ["x", "kernel"], "y")], False),
        ([("TRANSPOSE", ["kernel"], "y")], False),
        ([DENSE, ("TRANSPOSE", ["kernel"], "y")], False),
        ([("RELU", ["x"], "y")], False),
    ],
)
def test_is_weight_needs_every_reader(operators, expected):
    model = structure({"kernel": (2, 3)}, operators, ["x", "kernel"])
    assert model.is_weight("kernel") == expected


def test_rename_numbers_duplicates():
    model = structure({"kernel": kernel(2, 3)}, [DENSE])
    model.rename(lambda name: "k" if name == "kernel" else "same")
    assert [model.name_of(i) for i in range(3)] == ["same", "same_1", "k"]
    assert model.graph.name == "same"


def test_ranges_are_saved_and_removed(tmp_path):
    model = structure({"kernel": kernel(2, 3)}, [DENSE])
    model.set_range(0, np.float32([-1, 2]))
    model.set_range(1, np.float32([-3, 4]))
    model.set_range(1, ())
    model.save(tmp_path / "model.tflite")
    saved = Structure((tmp_path / "model.tflite").read_bytes())
    first, second = (saved.tensors[i].quantization for i in (0, 1))
    assert (list(first.min), list(first.max)) == ([-1], [2])
    assert len(second.min) == len(second.max) == 0


def test_write_binds_names_in_the_declared_order(tmp_path):
    """The signature lists tensors in another order than the graph."""
    tensors = {"a": (1, 2), "b": (1, 2), "sum": (1, 2), "more": (1, 2)}
    operators = [("ADD", ["a", "b"], "sum"), ("RELU", ["sum"], "more")]
    data = tflite_model(tensors, operators, ["a", "b"], ["sum", "more"])
    path = tmp_path / "model.tflite"
    Structure(data).write(
        path, [("b", "left"), ("a", "down")], [("more", "z"), ("sum", "c")]
    )
    saved = Structure(path.read_bytes())
    assert (list(saved.graph.inputs), list(saved.graph.outputs)) == (
        [1, 0],
        [3, 2],
    )
    assert [saved.name_of(i) for i in range(4)] == ["down", "left", "c", "z"]
    runner = open_runner(path)
    assert [spec.name for spec in runner.inputs] == ["left", "down"]
    assert [spec.name for spec in runner.outputs] == ["z", "c"]


def large_weight(values):
    """Return what `LargeWeight` is, in two blocks."""
    return SimpleNamespace(
        variable=SimpleNamespace(path="dense/kernel"),
        nbytes=values.nbytes,
        blocks=lambda: np.split(values, 2),
    )


def write(path, kernel_values, bias_values):
    """Write a dense layer with a large weight and its own large bias."""
    size, width = kernel_values.shape
    tensors = {"x": (1, width), "y": (1, size), "kernel": (size, width)}
    data = tflite_model(
        {**tensors, "bias": bias_values},
        [("FULLY_CONNECTED", ["x", "kernel", "bias"], "y")],
        ["x", "kernel"],
        ["y"],
    )
    Structure(data).write(
        path,
        [("x", "x")],
        [("y", "y")],
        [("kernel", large_weight(kernel_values))],
    )


@pytest.mark.parametrize(("size", "appended"), [(256, 1), (258, 2), (1002, 2)])
def test_large_buffers_are_appended_and_aligned(size, appended, tmp_path):
    path = tmp_path / "model.tflite"
    values, bias = kernel(size, 3), kernel(size)
    write(path, values, bias)
    data = path.read_bytes()
    starts = [data.index(array.tobytes()) for array in (values, bias)]
    assert all(start % 16 == 0 for start in starts[:appended])
    saved = Structure(data)
    assert saved.name_of(2) == "dense/kernel"
    np.testing.assert_array_equal(saved.weights(2), values)
    np.testing.assert_array_equal(saved.weights(3), bias)


def test_the_runtime_reads_appended_buffers(tmp_path):
    path = tmp_path / "model.tflite"
    values, bias = kernel(600, 3), kernel(600)
    write(path, values, bias)
    x = kernel(1, 3)
    (y,) = open_runner(path).run({"x": x})["y"]
    expected = (x.astype("f8") @ values.T + bias)[0]
    assert np.abs(y - expected).max() < 1e-5
    values[599, 2] += 1e-3
    assert np.abs(y - (x.astype("f8") @ values.T + bias)[0]).max() > 1e-4


def test_refuses_a_file_that_the_runtime_cannot_read(tmp_path, monkeypatch):
    path = tmp_path / "model.tflite"
    write(path, kernel(600, 3), kernel(600))
    size = path.stat().st_size
    path.unlink()
    monkeypatch.setattr(flatbuffer, "_MAX_FILE_SIZE", size - 1)
    with pytest.raises(ConversionError, match="larger than the 2 GB"):
        write(path, kernel(600, 3), kernel(600))
    assert not path.exists()
    monkeypatch.setattr(flatbuffer, "_MAX_FILE_SIZE", size)
    write(path, kernel(600, 3), kernel(600))
    assert path.stat().st_size == size


def test_saving_changes_nothing(tmp_path):
    model = structure({"kernel": kernel(700, 3), "y": (1, 700)}, [DENSE])
    paths = [tmp_path / "1.tflite", tmp_path / "2.tflite"]
    model.save(paths[0])
    (buffer,) = (model.tensors[2].buffer,)
    model.save(paths[1], {buffer: (8, [bytes(8)])})
    assert paths[0].read_bytes() != paths[1].read_bytes()
    model.save(paths[1])
    assert paths[0].read_bytes() == paths[1].read_bytes()
