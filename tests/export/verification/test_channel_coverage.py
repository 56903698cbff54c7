"""No channel that matters to real digits may be wrong without being noticed.

Each channel of each convolution of an ONNX file is set to zero, one at a time,
and the file is run by ONNX Runtime on real digits and on the probes.
"""

import keras
import numpy as np
import onnx
import onnxruntime
import pytest
from keras import layers
from onnx import numpy_helper

from keras_inception_export.formats.registry import FORMATS
from keras_inception_export.model.channel_search import (
    measure_coverage,
    search_inputs,
)
from keras_inception_export.model.inference_model import to_inference_model
from keras_inception_export.model.input_ranges import input_domains
from keras_inception_export.verification.regimes import regimes
from tests.helpers.hard_models import digits

NOTICED = 2e-6  # the tolerance of a small network


def network():
    """Return a network of 210 channels of convolutions, trained on digits."""
    image = keras.Input((8, 8, 1), name="image")

    def conv(x, filters, size):
        return layers.Conv2D(filters, size, padding="same", activation="relu")(
            x
        )

    x = layers.MaxPooling2D()(conv(conv(image, 24, 3), 36, 3))
    x = layers.Concatenate()([conv(x, 20, 1), conv(x, 30, 3)])
    x = layers.Flatten()(layers.MaxPooling2D()(conv(x, 100, 3)))
    x = layers.Dense(10, activation="softmax", name="digit")(x)
    model = keras.Model(image, x)
    # At this rate some units end up active on a few inputs only.
    model.compile(
        keras.optimizers.Adam(1e-2), "sparse_categorical_crossentropy"
    )
    model.fit(*digits(), batch_size=64, epochs=6, verbose=0)
    return model


def opened(proto):
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = 1
    return onnxruntime.InferenceSession(proto.SerializeToString(), options)


def altered(proto):
    """Yield a session per channel of each convolution, which is zero."""
    weights = {x.name: x for x in proto.graph.initializer}
    for node in proto.graph.node:
        if node.op_type != "Conv":
            continue
        tensors = [weights[name] for name in node.input[1:]]
        arrays = [numpy_helper.to_array(tensor) for tensor in tensors]
        for channel in range(len(arrays[0])):
            for tensor, array in zip(tensors, arrays, strict=True):
                array = array.copy()
                array[channel] = 0
                tensor.raw_data = array.tobytes()
            yield opened(proto)
        for tensor, array in zip(tensors, arrays, strict=True):
            tensor.raw_data = array.tobytes()


def change(session, expected, batches):
    """Return the largest change, relative to the largest of its column."""
    changes = []
    for batch, output in zip(batches, expected, strict=True):
        difference = session.run(None, {"image": batch})[0] - output
        scale = np.maximum(np.abs(output).max(axis=0), 1e-6)
        changes.append((np.abs(difference).max(axis=0) / scale).max())
    return max(changes)


@pytest.fixture(scope="module")
def measured(tmp_path_factory):
    """The changes per channel, and the coverage, of three sets of inputs."""
    keras.utils.set_random_seed(1)
    model = network()
    inference_model = to_inference_model(model)
    domains = input_domains(model)
    probes = [
        feed
        for _, alternatives in regimes(inference_model.inputs, domains)
        for feed in alternatives[-1]
    ]
    constant = [
        probe for probe in probes if not np.ptp(probe["image"], 1).any()
    ]
    found = [*probes, *search_inputs(inference_model, probes, domains)]
    file = tmp_path_factory.mktemp("digits") / "model.onnx"
    FORMATS["onnx"].write(inference_model, file, opset=18)
    proto = onnx.load(file)
    session = opened(proto)
    sets = {
        "digits": [digits()[0][:200]],
        "constant": [feed["image"] for feed in constant],
        "searched": [feed["image"] for feed in found],
    }
    outputs = {
        name: [session.run(None, {"image": batch})[0] for batch in batches]
        for name, batches in sets.items()
    }
    changes = [
        {name: change(one, outputs[name], sets[name]) for name in sets}
        for one in altered(proto)
    ]
    assert len(changes) == 210
    noticed = {
        name: np.array([found[name] > NOTICED for found in changes])
        for name in sets
    }
    coverage = {
        name: measure_coverage(inference_model, feeds)
        for name, feeds in (("constant", constant), ("searched", found))
    }
    return noticed, coverage


def test_what_matters_to_digits_is_noticed_on_the_probes(measured):
    noticed, _ = measured
    assert noticed["digits"].sum() > 100
    assert not (noticed["digits"] & ~noticed["searched"]).any()
    assert (noticed["digits"] & ~noticed["constant"]).any()


@pytest.mark.parametrize("name", ("constant", "searched"))
def test_coverage_counts_what_would_be_noticed(measured, name):
    noticed, coverage = measured
    counted = sum(layer.moved for layer in coverage[name].layers[:-1])
    assert abs(counted - noticed[name].sum()) <= 2  # near the tolerance
    assert counted < 210
