"""Speed, size and signal-to-noise ratio of quantized artifacts.

    python benchmarks/quantized.py [--rounds 40] [--threads 2]

The hybrid at 224 x 224 x 1 without its top, with seeded random weights and
images, compared with float32. `keras-inception benchmark` measures one image
per call, each artifact in a process of its own, so that the spinning threads of
one runtime do not slow another down.
"""

import argparse
import os
import tempfile
from pathlib import Path

os.environ.setdefault("KERAS_BACKEND", "tensorflow")
os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")

ROW = "{:8}{:9}{:>8}{:>8}{:>9}"


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--rounds", type=int, default=40)
    parser.add_argument("--threads", type=int, default=2)
    arguments = parser.parse_args()
    import keras
    import numpy as np

    from keras_inception_export import benchmark, export_model
    from keras_inception_export.cli import tables
    from keras_inception_layers import VGG16Inception

    keras.utils.set_random_seed(0)
    images = np.random.default_rng(0).random((36, 224, 224, 1), "float32")
    with tempfile.TemporaryDirectory() as folder:
        bundle = Path(folder) / "hybrid"
        report = export_model(
            VGG16Inception(include_top=False),
            bundle,
            formats=("tflite", "onnx"),
            samples=images,
            quantize=("float16", "dynamic", "int8"),
        )
        result = benchmark(
            bundle,
            rounds=arguments.rounds,
            threads=arguments.threads,
            progress=print,
        )
    print(tables.benchmark(result), "\n")
    print(ROW.format("format", "scheme", "faster", "bytes", "SNR"))
    for row, artifact in zip(result["rows"], report["artifacts"], strict=True):
        if artifact["quantization"] is None:
            continue
        full = next(
            other
            for other in result["rows"]
            if other["format"] == row["format"] and not other["quantization"]
        )
        (measured,) = artifact["measured"]
        print(
            ROW.format(
                row["format"],
                row["quantization"],
                f"{row['speed'] / full['speed']:.2f}",
                f"{row['bytes'] / full['bytes']:.3f}",
                f"{measured['snr_db']:.1f} dB",
            )
        )


if __name__ == "__main__":
    main()
