"""Time and memory of writing a model, from 1 to 600 million parameters.

    python benchmarks/scaling.py [--millions 1,10,...] [--layers 100,...] \
        [--plot docs/explanation/scaling.png]

The models are dense layers, since their size can be chosen. Each row runs in a
process of its own. The added memory is that of writing the artifact, after the
model was loaded, in this process and its children; the exponent is that of a
power of the number of parameters, fitted to the sizes from 10 million on.

With `--layers`, small models of that many layers are exported in three formats
instead, and the processor's seconds of the whole export are shown.
"""

import argparse
import json
import os
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from peak_memory import Monitor, anonymous

FORMATS = ("onnx", "saved_model", "tflite")
UNITS = {"seconds": 1, "peak": 1e9}
ROW = "{:>12}  {:12}{:>8}{:>10}{:>16}{:>10}"
DEEP = ("residual", "sequential")
DEPTH_ROW = "{:>8}  {:12}{:>8}{:>10}"


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--millions", default="1,3,10,30,100,300,600")
    parser.add_argument("--layers")
    parser.add_argument("--plot", type=Path)
    parser.add_argument("--one", nargs=2, help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    if arguments.one:
        name, size = arguments.one[0], float(arguments.one[1])
        measured = measure_depth if name in DEEP else measure
        print(json.dumps(measured(name, size)))
        return
    if arguments.layers:
        print(DEPTH_ROW.format("layers", "model", "CPU s", "peak GB"))
        for name in DEEP:
            for count in arguments.layers.split(","):
                found = run(name, count)
                took = f"{found['seconds']:.0f}", f"{found['peak'] / 1e9:.2f}"
                print(DEPTH_ROW.format(count, name, *took), flush=True)
        return
    head = "parameters", "format", "s", "added GB", "added / weights", "peak GB"
    print(ROW.format(*head))
    results = {name: [] for name in FORMATS}
    for millions in arguments.millions.split(","):
        for name in FORMATS:
            if found := run(name, millions):
                results[name].append(found)
                print(ROW.format(*cells(name, found)), flush=True)
    for name, rows in results.items():
        exponents = [fitted(rows, key) for key in ("seconds", "peak")]
        print("{}: time ^ {:.2f}, peak ^ {:.2f}".format(name, *exponents))
    if arguments.plot:
        plot(results, arguments.plot)


def run(name, millions):
    """Measure in a process; return `None` if the format is too small."""
    done = subprocess.run(
        [sys.executable, __file__, "--one", name, millions],
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        check=True,
    )
    return json.loads(done.stdout.splitlines()[-1])


def cells(name, row):
    weights = 4 * row["parameters"]
    return (
        f"{row['parameters']:,}",
        name,
        f"{row['seconds']:.1f}",
        f"{row['added'] / 1e9:.2f}",
        f"{row['added'] / weights:.2f}",
        f"{row['peak'] / 1e9:.2f}",
    )


def fitted(rows, key):
    """Return the slope of a line through the logarithms."""
    import numpy as np

    rows = [row for row in rows if row["parameters"] >= 9e6]
    sizes = np.log([row["parameters"] for row in rows])
    return np.polyfit(sizes, np.log([row[key] for row in rows]), 1)[0]


def measure(name, millions):
    """Build a model, write one artifact, and return what that took."""
    os.environ["TF_ENABLE_ONEDNN_OPTS"] = "0"  # keeps freed memory
    import keras

    from keras_inception_export.formats.registry import FORMATS as RECORDS
    from keras_inception_export.model.inference_model import to_inference_model
    from keras_inception_export.model.loading import functional

    count = round(millions * 1e6)
    layer_count = max(2, round(count / 2**24))
    width = round((count / layer_count) ** 0.5)
    dense = [
        keras.layers.Dense(width, kernel_initializer="ones")
        for _ in range(layer_count)
    ]
    model = keras.Sequential([keras.layers.Input((width,)), *dense])
    parameters = model.count_params()
    largest = RECORDS[name].max_bytes
    if largest and 4 * parameters > largest:
        return None
    inference_model = to_inference_model(functional(model))
    del model, dense
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / RECORDS[name].file_name
        with Monitor(anonymous) as monitor:
            start = time.perf_counter()
            RECORDS[name].write(inference_model, path, opset=18)
            seconds = time.perf_counter() - start
    return {
        "parameters": parameters,
        "seconds": seconds,
        "added": monitor.peak - monitor.start,
        "peak": monitor.peak,
    }


def deep_model(name, count):
    """Return a model of so many layers whose float32 outputs are accurate."""
    import keras
    from keras import layers

    keras.utils.set_random_seed(0)
    if name == "sequential":
        dense = [
            layers.Dense(8, activation="tanh", kernel_initializer="orthogonal")
            for _ in range(count)
        ]
        return keras.Sequential([keras.Input((8,)), *dense])
    x = image = keras.Input((8, 8, 4))
    for _ in range(count // 4):
        y = layers.Conv2D(4, 3, padding="same")(x)
        small = keras.initializers.Constant(0.1)
        y = layers.BatchNormalization(gamma_initializer=small)(y)
        x = layers.Add()([x, layers.Activation("relu")(y)])
    x = layers.GlobalAveragePooling2D()(x)
    return keras.Model(image, layers.Dense(3)(x))


def measure_depth(name, count):
    """Export a deep model in all formats, and return what that took."""
    from keras_inception_export import export_model
    from keras_inception_export.model.loading import deep_models

    with deep_models():
        model = deep_model(name, int(count))
    before = sum(os.times()[:4])
    with tempfile.TemporaryDirectory() as folder, Monitor(anonymous) as monitor:
        export_model(model, Path(folder) / "out", formats=FORMATS)
    return {"seconds": sum(os.times()[:4]) - before, "peak": monitor.peak}


def plot(results, path):
    """Draw time and peak memory over the number of parameters."""
    import matplotlib.pyplot as plt

    figure, axes = plt.subplots(1, 2, figsize=(9, 3.5), layout="constrained")
    for name, rows in results.items():
        sizes = [row["parameters"] for row in rows]
        for axis, (key, unit) in zip(axes, UNITS.items(), strict=True):
            values = [row[key] / unit for row in rows]
            label = f"{name}: exponent {fitted(rows, key):.2f}"
            axis.loglog(sizes, values, "o-", label=label)
    weights = [4e-9 * row["parameters"] for row in results["onnx"]]
    sizes = [row["parameters"] for row in results["onnx"]]
    axes[1].loglog(sizes, weights, "k--", label="the weights")
    labels = "seconds to write", "peak memory, GB"
    for axis, label in zip(axes, labels, strict=True):
        axis.set(xlabel="parameters", ylabel=label)
        axis.grid(alpha=0.3)
        axis.legend(fontsize=8)
    figure.savefig(path, dpi=120)


if __name__ == "__main__":
    main()
