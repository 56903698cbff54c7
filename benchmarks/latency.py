"""How fast the artifacts run, beside Keras's own exports of the same model.

    python benchmarks/latency.py [--rounds 40] [--threads 2]

The hybrid at 224 x 224 x 1 without its top, one image a call, as
`keras-inception benchmark --against keras` measures it; and how much of the
machine's float32 matrix-product rate the 22.4 GFLOP of the convolutions reach.
"""

import argparse
import os
import tempfile
import time
from pathlib import Path

os.environ.setdefault("KERAS_BACKEND", "tensorflow")
os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")

GFLOP = 22.4


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--rounds", type=int, default=40)
    parser.add_argument("--threads", type=int, default=2)
    arguments = parser.parse_args()
    import keras

    from keras_inception_export import benchmark, export_model
    from keras_inception_export.cli import tables as display
    from keras_inception_layers import VGG16Inception

    keras.utils.set_random_seed(0)
    with tempfile.TemporaryDirectory() as folder:
        file, bundle = Path(folder) / "hybrid.keras", Path(folder) / "hybrid"
        VGG16Inception(include_top=False).save(file)
        export_model(file, bundle)
        result = benchmark(
            bundle,
            rounds=arguments.rounds,
            threads=arguments.threads,
            against_keras=True,
            progress=print,
        )
    print(display.benchmark(result))
    limit = matrix_rate()
    print(
        f"\nfloat32 matrix product, 2048 cubed: {limit:.0f} GFLOP/s, of which"
    )
    for row in result["rows"]:
        reached = GFLOP / row["p50_ms"] * 1e3 / limit
        print(f"{row['name']:24}{reached:>6.0%}")


def matrix_rate(size=2048):
    """Return the GFLOP/s of a float32 matrix product."""
    import numpy as np

    a = np.random.default_rng(0).random((size, size), "float32")
    seconds = []
    for _ in range(8):
        start = time.perf_counter()
        a @ a
        seconds.append(time.perf_counter() - start)
    return 2 * size**3 / min(seconds) / 1e9


if __name__ == "__main__":
    main()
