"""Time, memory and size of an export, compared with other exporters.

    python benchmarks/export_cost.py [--rounds 3] [--cap-gb 20] [--full]

Each row runs in a process of its own, which is killed when its memory exceeds
the cap. The seconds and the added memory are those of writing the artifact,
after the model has been built. The rounds are interleaved, and the medians are
shown. `--full` adds the model with the top, which has 132 M parameters.
"""

import argparse
import functools
import json
import os
import resource
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from peak_memory import Monitor, resident

SIZES = {"8 M": False, "132 M": True}
ROUTES = {
    ("SavedModel", "ours"): "saved_model",
    ("SavedModel", "keras"): "tf_saved_model",
    ("TFLite", "ours"): "tflite",
    ("TFLite", "keras"): "litert",
    ("ONNX", "ours"): "onnx",
    ("ONNX", "keras"): "onnx",
    ("ONNX", "tf2onnx"): "onnx",
}
ROW = "{:8}{:12}{:9}{:>9}{:>12}{:>10}{:>10}"


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--cap-gb", type=float, default=20.0)
    parser.add_argument("--full", action="store_true")
    parser.add_argument("--one", nargs=3, help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    if arguments.one:
        print(json.dumps(measure(*arguments.one)))
        return
    print(
        ROW.format("weights", "format", "by", "s", "added GB", "peak GB", "MB")
    )
    for size in SIZES if arguments.full else ["8 M"]:
        results = {route: [] for route in ROUTES}
        for _ in range(1 if size == "132 M" else arguments.rounds):
            for route in ROUTES:
                results[route].append(run(size, route, arguments.cap_gb))
        for (kind, by), rounds in results.items():
            print(ROW.format(size, kind, by, *summary(rounds)), flush=True)


def run(size, route, cap_gb):
    """Run one export in a process; return `None` if it had to be killed."""
    words = [sys.executable, __file__, "--one", size, *route]
    with subprocess.Popen(
        words, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL
    ) as process:
        while process.poll() is None:
            if resident(process.pid) > cap_gb * 1e9:
                process.kill()
                return None
            time.sleep(0.05)
        output = process.stdout.read()
    if process.returncode:
        raise RuntimeError(f"{' '.join(route)} failed for {size}")
    return json.loads(output.splitlines()[-1])


def summary(rounds):
    """Return the cells of a row: medians, or that the process was killed."""
    if None in rounds:
        return "killed", "-", "> cap", "-"
    median = {
        key: statistics.median(r[key] for r in rounds) for key in rounds[0]
    }
    return (
        f"{median['seconds']:.1f}",
        f"{median['added'] / 1e9:.2f}",
        f"{median['peak'] / 1e9:.2f}",
        f"{median['bytes'] / 1e6:.0f}",
    )


def measure(size, kind, by):
    """Build the hybrid, write one artifact, and return what that took."""
    os.environ["TF_ENABLE_ONEDNN_OPTS"] = "0"  # keeps freed memory
    import numpy as np

    from keras_inception_export.model.inference_model import to_inference_model
    from keras_inception_export.model.loading import functional
    from keras_inception_layers import VGG16Inception

    model = VGG16Inception(include_top=SIZES[size])
    model(np.zeros((1, *model.input_shape[1:]), "float32"))  # Keras needs it
    name = ROUTES[kind, by]
    with tempfile.TemporaryDirectory() as folder:
        suffix = {"litert": "tflite"}.get(name, name)  # Keras checks it
        path = Path(folder) / f"model.{suffix}"
        if by == "ours":
            from keras_inception_export.formats.registry import FORMATS

            inference_model = to_inference_model(functional(model))
            del model
            write = functools.partial(
                FORMATS[name].write, inference_model, path, opset=18
            )
        elif by == "keras":
            write = functools.partial(
                model.export, path, format=name, verbose=False
            )
        else:
            write = functools.partial(plain_tf2onnx, model, path)
        with Monitor(resident) as monitor:
            start = time.perf_counter()
            write()
            seconds = time.perf_counter() - start
        files = [path, *path.rglob("*")]
        size = sum(f.stat().st_size for f in files if f.is_file())
    children = resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss * 1024
    return {
        "seconds": seconds,
        "added": monitor.peak - monitor.start,
        "peak": max(monitor.peak, children),
        "bytes": size,
    }


def plain_tf2onnx(model, path):
    """Convert a model as tf2onnx's documentation does."""
    import tensorflow as tf
    import tf2onnx

    spec = tf.TensorSpec(model.inputs[0].shape, "float32", name="image")
    function = tf.function(lambda image: model(image, training=False))
    tf2onnx.convert.from_function(
        function, [spec], opset=18, output_path=str(path)
    )


if __name__ == "__main__":
    main()
