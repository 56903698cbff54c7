"""Artifacts that are called like functions, with a runner made of NumPy."""

import numpy as np
import pytest

from keras_inception_export.bundle.artifact import Artifact
from keras_inception_export.data.tensor_spec import TensorSpec
from keras_inception_export.errors import ArtifactError, RequestError


class Runner:
    """Computes `sum = left + down`, and records the arrays that it gets."""

    def __init__(self, batch=None, **options):
        specs = [TensorSpec(n, (batch, 2), "float32") for n in ("left", "down")]
        self.inputs = tuple(specs)
        spec = {"dtype": "float32"} | options
        self.outputs = (TensorSpec("sum", (batch, 2), **spec),)
        self.batches = []

    def run(self, feeds):
        self.batches.append(len(feeds["left"]))
        total = feeds["left"] + feeds["down"]
        return {"sum": total.astype(self.outputs[0].dtype)}


LEFT = np.arange(10, dtype="float32").reshape(5, 2)
DOWN = np.full((5, 2), 10, "float32")


@pytest.mark.parametrize(
    "arrays",
    [(LEFT, DOWN), ({"down": DOWN, "left": LEFT},), (LEFT.tolist(), DOWN)],
    ids=["in order", "by name", "lists"],
)
@pytest.mark.parametrize(
    ("batch", "batches"), [(None, [5]), (2, [2, 2, 2]), (8, [8])]
)
def test_outputs_of_any_number_of_samples(arrays, batch, batches):
    runner = Runner(batch)
    outputs = Artifact(runner)(*arrays)
    assert list(outputs) == ["sum"]
    np.testing.assert_array_equal(outputs["sum"], LEFT + DOWN)
    assert runner.batches == batches


def test_quantized_outputs_are_real_values():
    runner = Runner(dtype="int8", scale=0.5, zero_point=4)
    artifact = Artifact(runner)
    outputs = artifact(LEFT, DOWN)["sum"]
    np.testing.assert_array_equal(outputs, (LEFT + DOWN - 4) * 0.5)


@pytest.mark.parametrize(
    ("arrays", "message"),
    [
        ((LEFT,), "got 1 arrays, expected one per input: left, down"),
        ((LEFT, DOWN[:3]), "same number of samples for each input"),
        ((LEFT, DOWN[:, :1]), r'\(5, 1\) for "down"'),
        (({"left": LEFT},), 'the inputs "left", "down"'),
    ],
)
def test_arrays_that_do_not_fit(arrays, message):
    with pytest.raises(RequestError, match=message):
        Artifact(Runner())(*arrays)


def test_an_input_that_cannot_be_padded():
    with pytest.raises(ArtifactError, match="with a smaller batch size"):
        Artifact(Runner(2**30))
