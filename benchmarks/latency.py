"""How fast the artifacts run, compared with Keras's own exports.

    python benchmarks/latency.py [--rounds 40] [--threads 2] [--size 224]

The hybrid without its top, one image per call, each artifact in a process of
its own. Shown are the latency of ours, of Keras's, their ratio within a round
with its 95 % interval, and how much of the machine's float32 matrix-product
rate the 22.4 GFLOP (at 224 x 224) of the convolutions reach. Measured on an AMD
EPYC with 2 threads: ONNX 1.025, TFLite 0.977, SavedModel 0.971 times Keras's.
"""

import argparse
import os
import tempfile
import time
from contextlib import ExitStack
from pathlib import Path
from statistics import median

os.environ.setdefault("KERAS_BACKEND", "tensorflow")
os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
# Child processes import keras_exports from this folder.
os.environ["PYTHONPATH"] = os.pathsep.join(
    [str(Path(__file__).parent), os.environ.get("PYTHONPATH", "")]
)

GFLOP = 22.4
ROW = "{:12}{:>9}{:>11}{:>8} {:17}{:>6}"


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--rounds", type=int, default=40)
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--size", type=int, default=224)
    arguments = parser.parse_args()
    import keras
    import keras_exports

    from keras_inception_export import export_model
    from keras_inception_export.benchmarking.statistics import speeds
    from keras_inception_layers import VGG16Inception

    keras.utils.set_random_seed(0)
    shape = (arguments.size, arguments.size, 1)
    model = VGG16Inception(include_top=False, input_shape=shape)
    with tempfile.TemporaryDirectory() as folder:
        bundle = Path(folder) / "hybrid"
        report = export_model(model, bundle)
        theirs = keras_exports.write(model, Path(folder))
        ours = {x["format"]: bundle / x["path"] for x in report["artifacts"]}
        probes = bundle / "probes.npz"
        times = measured(ours, theirs, probes, arguments)
    limit = matrix_rate()
    print(f"float32 matrix product, 2048 cubed: {limit:.0f} GFLOP/s")
    head = ("", "ours ms", "Keras's ms", "ratio", "95 %", "rate")
    print(ROW.format(*head))
    gflop = GFLOP * (arguments.size / 224) ** 2
    for name in ours:
        seconds = median(x for calls in times[name, "ours"] for x in calls)
        rate = f"{gflop / seconds / limit:.0%}"
        row = [name, f"{seconds * 1e3:.2f}", "-", "-", "-", rate]
        if name in theirs:
            calls = times[name, "keras"]
            row[2] = f"{median(x for c in calls for x in c) * 1e3:.2f}"
            # The speed of Keras's, with ours as 1, is the ratio of latencies.
            pair = {"ours": times[name, "ours"], "keras": calls}
            ratio = speeds(pair, "ours")["keras"]
            row[3] = f"{ratio.median:.3f}"
            row[4] = f"{ratio.low:.3f} - {ratio.high:.3f}"
        print(ROW.format(*row))


def measured(ours, theirs, probes, arguments):
    """Return the seconds of each call, by format and writer."""
    from keras_inception_export.benchmarking.measurement import (
        CandidateProcess,
        measure,
    )

    workers = {
        "ours": "keras_inception_export.benchmarking.worker:Worker",
        "keras": "keras_exports:Worker",
    }
    with ExitStack() as stack:
        processes = {}
        for by, paths in (("ours", ours), ("keras", theirs)):
            for name, path in paths.items():
                process = stack.enter_context(
                    CandidateProcess(name, arguments.threads, workers[by])
                )
                process.open(
                    path=path,
                    format_name=name,
                    probes=probes,
                    batch_size=1,
                    threads=arguments.threads,
                )
                processes[name, by] = process
        times, others = measure(processes, arguments.rounds, seed=0)
    print(f"\nOther programs kept {others or 0:.1f} cores busy.")
    return times


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
