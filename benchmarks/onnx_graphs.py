"""Compare our ONNX graphs with plain tf2onnx, and their results with float64.

    python benchmarks/onnx_graphs.py [NAME ...]

Shown are the nodes of both graphs, and the largest errors of our artifact and
of Keras against the float64 reference, relative to the largest output. An
asterisk means that ONNX Runtime cannot load the file that tf2onnx wrote.
"""

import os
import sys
import tempfile
from pathlib import Path

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")

import keras
import numpy as np
import onnx
import onnxruntime
from keras import layers

from keras_inception_export.formats.registry import FORMATS
from keras_inception_export.model.inference_model import to_inference_model
from keras_inception_export.model.input_ranges import input_domains
from keras_inception_export.model.loading import functional
from keras_inception_export.pipeline.make_probes import make_probes
from keras_inception_export.verification.parity import keras_error, max_error

ROW = "{:18}{:>8}{:>9}{:>12}{:>14}"


def application(name, size):
    """Return a network of keras.applications, without its softmax."""
    return getattr(keras.applications, name)(
        input_shape=(size, size, 3), weights=None, classifier_activation=None
    )


def chain(shape, *children, dtype="float32"):
    """Return a small Sequential model of the children."""
    return keras.Sequential([keras.Input(shape, dtype=dtype), *children])


def attention():
    """Return self-attention with a residual, then a dense layer with GELU."""
    steps = keras.Input((10, 16))
    x = layers.MultiHeadAttention(4, 8)(steps, steps)
    x = layers.LayerNormalization()(layers.Add()([x, steps]))
    return keras.Model(steps, layers.Dense(4, activation="gelu")(x))


def normalization():
    """Return an adapted Normalization before a convolution."""
    adapted = layers.Normalization()
    adapted.adapt(np.random.default_rng(0).normal(3, 2, (99, 8, 8, 3)))
    return chain((8, 8, 3), adapted, layers.Conv2D(4, 3))


MODELS = {
    "MobileNetV2": lambda: application("MobileNetV2", 96),
    "EfficientNetV2B0": lambda: application("EfficientNetV2B0", 64),
    "DenseNet121": lambda: application("DenseNet121", 64),
    "InceptionV3": lambda: application("InceptionV3", 96),
    "Xception": lambda: application("Xception", 96),
    "ConvNeXtTiny": lambda: application("ConvNeXtTiny", 64),
    "LSTM": lambda: chain((12, 5), layers.LSTM(7), layers.Dense(3)),
    "GRU": lambda: chain((12, 5), layers.GRU(7), layers.Dense(3)),
    "attention": attention,
    "grouped": lambda: chain((16, 16, 8), layers.Conv2D(16, 3, groups=4)),
    "separable": lambda: chain(
        (16, 16, 8), layers.SeparableConv2D(12, 3, strides=2, padding="same")
    ),
    "transposed": lambda: chain(
        (8, 8, 4), layers.Conv2DTranspose(6, 3, strides=2, padding="same")
    ),
    "embedding": lambda: chain(
        (9,), layers.Embedding(50, 8), layers.Conv1D(6, 3), dtype="int32"
    ),
    "normalization": normalization,
}


def main():
    print(ROW.format("", "nodes", "tf2onnx", "error", "Keras float32"))
    for name in sys.argv[1:] or MODELS:
        keras.utils.set_random_seed(0)
        print(ROW.format(name, *measure(settle(MODELS[name]()))), flush=True)


def settle(model):
    """Set random biases, and batch norm's statistics to those of its input.

    tf2onnx drops an addition of zeros; and without matching statistics the
    signal vanishes in a deep network.
    """
    generator = np.random.default_rng(1)
    for weight in model.weights:
        if weight.name in ("bias", "beta"):
            weight.assign(generator.normal(0, 0.1, weight.shape))
    norms = [x for x in model._flatten_layers() if hasattr(x, "momentum")]
    for norm in norms:
        norm.momentum = 0.0
    if norms:
        images = generator.random((16, *model.input_shape[1:]), "float32")
        images *= generator.random((16, 1, 1, 1))  # as bright as the probes
        scaled = any(layer.name == "rescaling" for layer in model.layers)
        model(images * (255 if scaled else 1), training=True)
    return model


def measure(model):
    """Return the cells of a model's row."""
    original = functional(model)
    inference_model = to_inference_model(original)
    probes = make_probes(
        original, inference_model, input_domains(original)
    ).only()
    with tempfile.TemporaryDirectory() as folder:
        ours, theirs = Path(folder) / "ours.onnx", Path(folder) / "theirs.onnx"
        FORMATS["onnx"].write(inference_model, ours, opset=18)
        # Keras exports only a model that has been called.
        model(probes.feeds[0][inference_model.inputs[0].name])
        model.export(theirs, format="onnx", verbose=False)
        runner = FORMATS["onnx"].open_runner(ours)
        results = [runner.run(feed) for feed in probes.feeds]
        (name,) = probes.reference[0]
        error = max_error(
            [batch[name] for batch in results],
            probes.reference_of(name),
        )
        return (
            nodes(ours),
            f"{nodes(theirs)}{'' if loads(theirs) else '*'}",
            f"{error:.1e}",
            f"{keras_error(probes, name):.1e}",
        )


def nodes(path):
    """Return the number of nodes in an ONNX file."""
    return len(onnx.load(path, load_external_data=False).graph.node)


def loads(path):
    """Return whether ONNX Runtime can load a file."""
    options = onnxruntime.SessionOptions()
    options.log_severity_level = 4
    try:
        onnxruntime.InferenceSession(path, options)
    except Exception:
        return False
    return True


if __name__ == "__main__":
    main()
