"""int8 of a depthwise network, beside TensorFlow's own int8.

    python benchmarks/quantized_mobilenet.py [--model mobilenet.keras]

MobileNetV2 (alpha 0.35) on Fashion-MNIST at 48 x 48, from Debian's package
dataset-fashion-mnist: 20,000 images to train, 1,000 test images as samples,
200 of which calibrate. Without a model, or if the file does not exist, one is
trained first (and saved there).
"""

import argparse
import gzip
import os
import tempfile
import time
from pathlib import Path

os.environ.setdefault("KERAS_BACKEND", "tensorflow")
os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")

import numpy as np

FOLDER = Path("/usr/share/datasets/fashion-mnist")
SIZE = 48
TRAINING, SAMPLES = 20_000, 1_000
ROW = "{:<20}{:>9}{:>14}{:>11}{:>10}{:>7}{:>9}"


def images_and_labels(part: str, number: int):
    """Return the first images, padded to 48 x 48 and 0 to 1, and labels."""
    arrays = []
    for kind, header in (("images-idx3", 16), ("labels-idx1", 8)):
        path = FOLDER / f"{part}-{kind}-ubyte.gz"
        data = gzip.decompress(path.read_bytes())
        arrays.append(np.frombuffer(data, np.uint8, offset=header))
    images = arrays[0].reshape(-1, 28, 28, 1)[:number] / np.float32(255)
    margin = (SIZE - 28) // 2
    widths = [(0, 0), (margin, margin), (margin, margin), (0, 0)]
    return np.pad(images, widths), arrays[1][:number].astype("int64")


def trained(epochs: int):
    """Return a trained MobileNetV2."""
    import keras

    keras.utils.set_random_seed(0)
    model = keras.applications.MobileNetV2(
        (SIZE, SIZE, 1), alpha=0.35, weights=None, classes=10
    )
    for layer in model.layers:
        if isinstance(layer, keras.layers.BatchNormalization):
            layer.momentum = 0.9  # of few steps, 0.999 remembers the first
    model.compile(
        keras.optimizers.Adam(2e-3),
        loss="sparse_categorical_crossentropy",
        metrics=["accuracy"],
    )
    model.fit(
        *images_and_labels("train", TRAINING),
        batch_size=64,
        epochs=epochs,
        verbose=2,
    )
    return model


def tensorflow_int8(model, calibration) -> bytes:
    """Return TensorFlow's own int8 model, with float inputs and outputs."""
    import tensorflow as tf

    with tempfile.TemporaryDirectory() as folder:
        model.export(folder, verbose=False)
        converter = tf.lite.TFLiteConverter.from_saved_model(folder)
        converter.optimizations = [tf.lite.Optimize.DEFAULT]
        converter.representative_dataset = lambda: (
            [image[None]] for image in calibration
        )
        return converter.convert()


def tflite_outputs(content: bytes, images):
    """Return a model's outputs, computed by LiteRT one image at a time."""
    from ai_edge_litert.interpreter import Interpreter

    interpreter = Interpreter(model_content=content)
    interpreter.allocate_tensors()
    (source,) = interpreter.get_input_details()
    (target,) = interpreter.get_output_details()
    rows = []
    for image in images:
        interpreter.set_tensor(source["index"], image[None])
        interpreter.invoke()
        rows.append(interpreter.get_tensor(target["index"])[0].copy())
    return np.array(rows)


def show(name, record, layers, seconds):
    """Print the row of an artifact."""
    cells = f"{record['agreement']:.2%}", f"{record['accuracy']:.2%}"
    snr = f"{record['snr_db']:.1f} dB", f"{record['column_snr_db']:.1f} dB"
    print(ROW.format(name, *snr, *cells, layers, f"{seconds:.0f} s"))


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--model", type=Path)
    parser.add_argument("--epochs", type=int, default=3)
    arguments = parser.parse_args()
    import keras

    from keras_inception_export import export_model
    from keras_inception_export.data.samples import Samples
    from keras_inception_export.quantization.metrics import measure
    from keras_inception_export.quantization.split import split

    if arguments.model and arguments.model.exists():
        model = keras.models.load_model(arguments.model)
    else:
        model = trained(arguments.epochs)
        if arguments.model:
            model.save(arguments.model)
    images, labels = images_and_labels("t10k", SAMPLES)
    parts = split(Samples({"x": images}, labels))
    start = time.perf_counter()
    content = tensorflow_int8(model, parts.calibration.inputs["x"])
    seconds = time.perf_counter() - start
    unseen = parts.evaluation.inputs["x"]
    (plain,) = measure(
        {"y": tflite_outputs(content, unseen)},
        {"y": model.predict(unseen, verbose=0)},
        parts.evaluation.labels,
    )
    rows = [("TensorFlow's tflite", plain.as_json(), "-", seconds)]
    for name in ("tflite", "onnx"):
        with tempfile.TemporaryDirectory() as folder:
            start = time.perf_counter()
            report = export_model(
                model,
                Path(folder) / "mobilenet",
                formats=name,
                samples=(images, labels),
                quantize="int8",
            )
            seconds = time.perf_counter() - start
        entry = report["artifacts"][-1]
        layers = str(len(entry["float_layers"]))
        rows.append((name, entry["measured"][0], layers, seconds))
    keras_accuracy = report["evaluation"]["keras_accuracy"]
    print(f"Keras: accuracy {next(iter(keras_accuracy.values())):.2%}")
    head = "int8 SNR column agreement accuracy float seconds"
    print(ROW.format(*head.split()))
    for row in rows:
        show(*row)


if __name__ == "__main__":
    main()
