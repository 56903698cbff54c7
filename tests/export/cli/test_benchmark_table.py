"""The table of `benchmark`, from a result made by hand."""

from keras_inception_export.cli.tables import benchmark


def result_of(**changes):
    row = {"name": "Keras", "bytes": 34_200_000, "agreement": None}
    row |= {"accuracy": None}
    row |= {"p50_ms": 57.26, "p90_ms": 123.4, "samples_per_second": 17.46}
    row |= {"speed": 1.0, "speed_low": 1.0, "speed_high": 1.0, "error": 6e-7}
    fast = row | {"name": "tflite int8", "p50_ms": 0.01234, "speed": 4.7}
    fast |= {"speed_low": 4.6, "speed_high": 4.84, "agreement": 0.9965}
    return {
        "model": {"name": "hybrid", "parameters": 8442064},
        "machine": {"processor": "a processor", "cores": 2},
        "images": True,
        "batch_size": 1,
        "threads": 2,
        "rounds": 20,
        "baseline": "Keras",
        "rows": [row, fast],
        "not_run": [{"name": "onnx", "reason": "no ONNX Runtime"}],
        "doubts": [],
        "conclusive": True,
        **changes,
    }


TABLE = """
hybrid, 8,442,064 parameters, batch 1, threads 2
a processor, 2 cores

                size  p50 ms  p90 ms  images/s  speed            error  agreement  accuracy
Keras        34.2 MB    57.3     123      17.5   1.00          6.0e-07          -         -
tflite int8  34.2 MB  0.0123     123      17.5   4.70  ± 0.12  6.0e-07     99.65%         -
onnx  -  no ONNX Runtime

speed: as a multiple of Keras's, the median of 20 rounds ± half its 95 % interval

Fastest: tflite int8, 4.70 times as fast as Keras."""  # noqa: E501


def test_table():
    assert benchmark(result_of()) == TABLE
    doubts = ["other programs kept 0.9 of 2 cores busy"]
    noisy = benchmark(result_of(conclusive=False, doubts=doubts))
    assert noisy.splitlines()[-3:] == [
        "Too noisy to conclude:",
        "- other programs kept 0.9 of 2 cores busy",
        "Stop other programs, or use more --rounds.",
    ]
