"""How fast the artifacts run, beside Keras's own exports of the same model.

    python benchmarks/latency.py [--rounds 40] [--threads 2]

The hybrid at 224 x 224 x 1 without its top, one image a call. In each round
every runner is called once, in random order; the table shows medians and the
ratio to Keras, and how much of the machine's float32 matrix-product rate the
22.4 GFLOP of the convolutions reach.
"""

import argparse
import os
import random
import statistics
import tempfile
import time
from pathlib import Path

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")

GFLOP = 22.4
ROW = "{:24}{:>9}{:>9}{:>9}{:>10}{:>14}"


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--rounds", type=int, default=40)
    parser.add_argument("--threads", type=int, default=2)
    arguments = parser.parse_args()
    import numpy as np

    image = np.random.default_rng(0).random((1, 224, 224, 1), "float32")
    with tempfile.TemporaryDirectory() as folder:
        runners = make_runners(Path(folder), arguments.threads)
        times = measure(runners, image, arguments.rounds)
    limit = matrix_rate(np)
    print(
        f"float32 matrix product, 2048 cubed: {limit:.0f} GFLOP/s; "
        f"{arguments.threads} threads, {arguments.rounds} rounds"
    )
    print(ROW.format("", "p50 ms", "p10", "p90", "of Keras", "of the limit"))
    keras_time = statistics.median(times["Keras"])
    for name, seconds in times.items():
        p50 = statistics.median(seconds)
        deciles = statistics.quantiles(seconds, n=10)
        print(
            ROW.format(
                name,
                f"{p50 * 1e3:.1f}",
                f"{deciles[0] * 1e3:.1f}",
                f"{deciles[-1] * 1e3:.1f}",
                f"{p50 / keras_time:.2f}",
                f"{GFLOP / p50 / limit:.0%}",
            )
        )


def make_runners(folder, threads):
    """Export the model both ways; return a function an artifact."""
    import numpy as np
    import tensorflow as tf

    tf.config.threading.set_intra_op_parallelism_threads(threads)
    from keras_inception_export import prepare
    from keras_inception_export.formats import FILES, format_module
    from keras_inception_layers import VGG16Inception

    model = VGG16Inception(include_top=False)
    twin = prepare.inference_twin(prepare.functional(model), None)
    runners = {"Keras": model.predict_on_batch}
    model(
        np.zeros((1, 224, 224, 1), "float32")
    )  # Keras exports what was called
    for name, file in FILES.items():
        module = format_module(name)
        module.write(twin, folder / file, opset=18)
        own = {} if name == "saved_model" else {"threads": threads}
        runner = module.open_runner(folder / file, **own)
        runners[f"{name}, ours"] = lambda x, r=runner: r.run({"image": x})
    for kind in ("tf_saved_model", "litert", "onnx"):
        path = folder / f"keras.{kind}".replace("litert", "tflite")
        model.export(path, format=kind, verbose=False)
    served = tf.saved_model.load(folder / "keras.tf_saved_model")
    runners["saved_model, Keras's"] = lambda x: served.serve(x).numpy()
    runners["tflite, Keras's"] = litert(folder / "keras.tflite", threads)
    runners["onnx, Keras's"] = ort(folder / "keras.onnx", threads)
    return runners


def litert(path, threads):
    """Return a function that runs a TFLite file."""
    from ai_edge_litert.interpreter import Interpreter

    interpreter = Interpreter(model_path=str(path), num_threads=threads)
    interpreter.allocate_tensors()
    entry = interpreter.get_input_details()[0]["index"]
    exit_ = interpreter.get_output_details()[0]["index"]

    def run(image):
        interpreter.set_tensor(entry, image)
        interpreter.invoke()
        return interpreter.get_tensor(exit_)

    return run


def ort(path, threads):
    """Return a function that runs an ONNX file."""
    import onnxruntime

    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = threads
    session = onnxruntime.InferenceSession(path, options)
    name = session.get_inputs()[0].name
    return lambda image: session.run(None, {name: image})


def measure(runners, image, rounds):
    """Return the seconds of every call, by runner."""
    times = {name: [] for name in runners}
    for run in runners.values():
        for _ in range(3):
            run(image)
    order = list(runners)
    for _ in range(rounds):
        random.shuffle(order)
        for name in order:
            start = time.perf_counter()
            runners[name](image)
            times[name].append(time.perf_counter() - start)
    return times


def matrix_rate(np, size=2048):
    """Return the GFLOP/s of a float32 matrix product."""
    a = np.random.default_rng(0).random((size, size), "float32")
    seconds = []
    for _ in range(8):
        start = time.perf_counter()
        a @ a
        seconds.append(time.perf_counter() - start)
    return 2 * size**3 / min(seconds) / 1e9


if __name__ == "__main__":
    main()
