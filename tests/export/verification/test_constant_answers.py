"""An artifact that answers the same for all inputs never passes."""

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper, numpy_helper

from keras_inception_export.data.tensor_spec import TensorSpec
from keras_inception_export.verification.columns import error_to_signal
from keras_inception_export.verification.degenerate import (
    degenerate_outputs,
)
from keras_inception_export.verification.parity import compare
from keras_inception_export.verification.probes import Probes
from keras_inception_export.verification.verify import (
    MAX_QUANTIZED_ERROR,
    SLACK,
    verify_artifact,
)

SPECS = tuple(TensorSpec(name, (None, 5), "float32") for name in "xy")
GENERATOR = np.random.default_rng(0)
CONSTANTS = {
    "zeros": np.zeros_like,
    "the mean": lambda y: np.full_like(y, y.mean()),
    "the mean of each column": lambda y: 0 * y + y.mean(axis=0),
    "the middle": lambda y: 0 * y + (y.max(axis=0) + y.min(axis=0)) / 2,
    "the first sample": lambda y: 0 * y + y[0],
}
OUTPUTS = {
    "normal": lambda y: y,
    "positive": np.abs,
    "far from zero": lambda y: 10 + y,
    "one-hot": lambda y: np.eye(5)[y.argmax(axis=1)],
    "rare": lambda y: (np.arange(11) == 4)[:, None] * y,
    "uneven columns": lambda y: y * 10.0 ** np.arange(5),
}


def split(rows):
    """Return 11 rows as batches of 1, 3 and 7."""
    return [{"y": part} for part in np.split(rows, (1, 4))]


def probes(output, regime="samples"):
    reference = OUTPUTS[output](GENERATOR.normal(size=(11, 5)))
    keras = split(reference * (1 + 1e-7))
    feeds = [{"x": batch["y"].astype("float32")} for batch in split(reference)]
    parts = feeds, split(reference), keras, (regime,) * 3
    return Probes(*map(tuple, parts)), reference


@pytest.mark.parametrize("limit", (None, 0.3, SLACK, 1e9))
@pytest.mark.parametrize("answer", CONSTANTS)
@pytest.mark.parametrize("output", OUTPUTS)
def test_constants_fail_whatever_the_tolerance(output, answer, limit):
    expected, reference = probes(output)
    assert not degenerate_outputs(expected, SPECS[1:])
    limits = limit and {"y": {"tolerance": limit}}
    for answers, passes in (
        (CONSTANTS[answer](reference), False),
        (reference, True),
    ):
        results = split(answers.astype("float32"))
        (record,), findings = compare(
            results, SPECS[1:], expected, limits, quantized=bool(limits)
        )
        assert record.passed is passes is not bool(findings)


def test_the_signal_is_that_of_samples_of_one_shape():
    ones = np.ones((2, 3))
    reference = [7 * ones[:1, :2], ones, 3 * ones]
    assert error_to_signal([0 * y for y in reference], reference) == 5
    assert error_to_signal([reference[0], ones, ones], reference) == 2
    pair = np.array([[0.0, 10], [2, 14]])
    assert error_to_signal([0 * pair], [pair]) == 300 / 10
    shapes = [ones, 3 * ones, pair, 0 * pair]
    ratio = error_to_signal([0 * y for y in shapes], shapes)
    assert ratio == (60 + 300) / (12 + 155)
    with pytest.raises(ValueError, match="zip"):
        error_to_signal([ones], [ones, pair])
    for same in (reference[:1], reference[1:2]):
        assert error_to_signal(same, same) == float("inf")


def identity(path, change=None):
    """Write `y = x`, or a graph that returns something else."""
    nodes, weights = [helper.make_node("Identity", ["x"], ["y"])], []
    if change is not None:
        nodes = [
            helper.make_node("Mul", ["x", "zero"], ["nothing"]),
            helper.make_node("Add", ["nothing", "answer"], ["y"]),
        ]
        weights = [
            numpy_helper.from_array(np.float32(0), "zero"),
            numpy_helper.from_array(change.astype("float32"), "answer"),
        ]
    values = [
        helper.make_tensor_value_info(name, TensorProto.FLOAT, ("n", 5))
        for name in "xy"
    ]
    graph = helper.make_graph(nodes, "graph", *[[v] for v in values], weights)
    model = helper.make_model(
        graph,
        ir_version=10,
        opset_imports=[helper.make_opsetid("", 18)],
    )
    onnx.save(model, path)
    return path


@pytest.mark.parametrize("quantization", (None, "int8"))
@pytest.mark.parametrize("answer", (None, "zeros", "the mean of each column"))
def test_neither_publication_nor_verify_accepts_one(
    quantization, answer, tmp_path
):
    from keras_inception_export.options import ExportOptions
    from keras_inception_export.pipeline.artifacts import (
        WrittenArtifact,
        verify_written,
    )

    expected, reference = probes("one-hot")
    change = answer and CONSTANTS[answer](reference)[0]
    path = identity(tmp_path / "model.onnx", change)
    specs = SPECS[:1], SPECS[1:], expected
    limit = {"tolerance": SLACK * MAX_QUANTIZED_ERROR}
    limits = {"y": limit} if quantization else None
    written = WrittenArtifact(
        "onnx", quantization, path, 0.0, measured=["any"] if limits else []
    )
    for result in (
        verify_written(
            written, *specs, ExportOptions(output_dir=tmp_path / "out")
        ),
        verify_artifact(
            path, *specs, quantization=quantization, published=limits
        ),
    ):
        assert result.passed is (answer is None)
