"""What int8 is worth: its time, bytes and noise beside float32.

    python benchmarks/quantized.py [MODEL.keras SAMPLES.npz] [--rounds 60]

Without words: the hybrid at 224 x 224 x 1 without its top, seeded random
weights and images. One image a call; in each round float and int8 of one
format run one after the other, and the ratio is taken within the round.
"""

import argparse
import os
import statistics
import tempfile
import time
from pathlib import Path

os.environ.setdefault("KERAS_BACKEND", "tensorflow")
os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")

FORMATS = ("onnx", "tflite")
SCHEMES = ("int8", "dynamic", "float16")
ROW = "{:8}{:9}{:>11}{:>11}{:>9}{:>16}{:>9}{:>10}"


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("model", nargs="?")
    parser.add_argument("samples", nargs="?")
    parser.add_argument("--rounds", type=int, default=60)
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--calibration", type=int, default=20)
    arguments = parser.parse_args()
    twin, images = load(arguments.model, arguments.samples)
    name = twin.inputs[0].name
    calibration = {name: images[: arguments.calibration]}
    unseen = images[arguments.calibration :][:16]
    print(
        ROW.format(
            *("format", "scheme", "float ms", "ms", "faster", "of ratios"),
            *("bytes", "SNR dB"),
        )
    )
    with tempfile.TemporaryDirectory() as folder:
        for kind in FORMATS:
            compare(kind, twin, Path(folder), calibration, unseen, arguments)


def load(model, samples):
    """Return the inference twin and images."""
    import keras
    import numpy as np

    from keras_inception_export import prepare
    from keras_inception_layers import VGG16Inception

    if model:
        model = prepare.load_model(model)
        images = np.load(samples)["x"]
    else:
        keras.utils.set_random_seed(0)
        model = VGG16Inception(include_top=False)
        images = np.random.default_rng(0).random((36, 224, 224, 1), "float32")
    return prepare.inference_twin(prepare.functional(model), None), images


def compare(kind, twin, folder, calibration, unseen, arguments):
    """Write and time one format in float and in every scheme."""
    import importlib

    from keras_inception_export.bundle import size_of
    from keras_inception_export.formats import file_name, format_module
    from keras_inception_export.quantization.measure import measure

    module = format_module(kind)
    quantizer = importlib.import_module(
        f"keras_inception_export.formats.{kind}_quantize"
    ).Quantizer(twin, folder, calibration=calibration)
    whole = folder / file_name(kind)
    module.write(twin, whole, opset=18)
    exact = module.open_runner(whole, threads=arguments.threads)
    (name,) = calibration
    for scheme in SCHEMES:
        path = folder / file_name(kind, scheme)
        quantizer.write(path, scheme)
        small = module.open_runner(path, threads=arguments.threads)
        outputs = [r.run({name: unseen}) for r in (exact, small)]
        snr = min(r.snr_db for r in measure(outputs[1], outputs[0], None))
        one = {name: unseen[:1]}
        pairs = [
            (seconds(exact, one), seconds(small, one))
            for _ in range(arguments.rounds + 5)
        ][5:]
        ratios = sorted(a / b for a, b in pairs)
        tenth = len(ratios) // 10
        print(
            ROW.format(
                kind,
                scheme,
                f"{statistics.median(a for a, _ in pairs) * 1e3:.1f}",
                f"{statistics.median(b for _, b in pairs) * 1e3:.1f}",
                f"{statistics.median(ratios):.2f}",
                f"{ratios[tenth]:.2f} - {ratios[-1 - tenth]:.2f}",
                f"{size_of(path) / size_of(whole):.3f}",
                f"{snr:.1f}",
            ),
            flush=True,
        )


def seconds(runner, feed):
    start = time.perf_counter()
    runner.run(feed)
    return time.perf_counter() - start


if __name__ == "__main__":
    main()
