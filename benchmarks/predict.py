"""How fast `predict` is, beside ONNX Runtime on images that are decoded.

    python benchmarks/predict.py [--images 10000]

The PNGs are the test images of Fashion-MNIST, from the Debian package
`dataset-fashion-mnist`. Each run is a process of its own. The rate is that of
the images after the first tenth, without the start. A run is interrupted half
way and resumed, and another one has two workers of Ray: their files must equal
that of a whole run.
"""

import argparse
import gzip
import importlib.util
import os
import signal
import subprocess
import sys
import tempfile
import time
from pathlib import Path

os.environ.setdefault("KERAS_BACKEND", "tensorflow")
os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")

IMAGES = Path("/usr/share/datasets/fashion-mnist/t10k-images-idx3-ubyte.gz")
ROW = "{:34}{:>9}{:>11}{:>10}"
COMMAND = [sys.executable, "-m", "keras_inception_export", "predict"]
LOOP = """
import sys, time
import numpy as np, onnxruntime
path, file, number = sys.argv[1], sys.argv[2], int(sys.argv[3])
images = np.load(file, mmap_mode="r")[:number]
session = onnxruntime.InferenceSession(path)
name = session.get_inputs()[0].name
start = time.perf_counter()
for i in range(0, number, 16):
    session.run(None, {name: images[i : i + 16]})
"""


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--images", type=int, default=10_000)
    parser.add_argument("--prepare", type=Path, help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    number = arguments.images
    if not IMAGES.is_file():
        raise SystemExit(
            f"{IMAGES} does not exist; apt-get install dataset-fashion-mnist"
        )
    if arguments.prepare:
        export(arguments.prepare)
        write_images(arguments.prepare, number)
        return
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        # A process begins with the peak memory of the one that starts it.
        command = [sys.executable, __file__, "--prepare", name]
        subprocess.run([*command, "--images", f"{number}"], check=True)
        model = folder / "bundle" / "model.onnx"
        print(ROW.format("", "images", "images/s", "peak MB"))
        runs = {
            "ONNX Runtime, decoded arrays": lambda n: (
                [sys.executable, "-c", LOOP, model, folder / "x.npy", n]
            ),
            "keras-inception predict": lambda n: (
                [*COMMAND, model, folder / f"{n}", "--output", csv(folder, n)]
            ),
        }
        rates = {}
        for title, command in runs.items():
            few, many = number // 10, number
            start, low = measure(command(few))
            seconds, high = measure(command(many))
            rates[title] = (many - few) / (seconds - start)
            print(ROW.format(title, few, "", f"{low / 1e6:.0f}"))
            rate = f"{rates[title]:.0f}"
            print(ROW.format("", many, rate, f"{high / 1e6:.0f}"))
        loop, predict = rates.values()
        print(f"{predict / loop:.2f} of the rate of the loop")
        command = runs["keras-inception predict"](number)
        output = csv(folder, number)
        whole = output.read_bytes()
        resumed(command, output, whole)
        if importlib.util.find_spec("ray"):
            output.unlink()
            measure([*command, "--engine", "ray", "--workers", "2"])
            print(f"Two workers of Ray: the file is {same(output, whole)}")


def export(folder):
    """Write the ONNX artifact of a network for images of 28 x 28."""
    import keras

    from keras_inception_export import export_model
    from keras_inception_layers import VGG16Inception

    keras.utils.set_random_seed(0)
    body = VGG16Inception(include_top=False, input_shape=(32, 32, 1))
    image = keras.Input((28, 28, 1), name="image")
    x = body(keras.layers.ZeroPadding2D(2)(image))
    x = keras.layers.Dense(10, activation="softmax", name="digit")(x)
    model = keras.Model(image, x)
    options = {"formats": ["onnx"], "preprocess": "unit"}
    export_model(model, folder / "bundle", **options)


def write_images(folder, number):
    """Write the images as PNGs, a tenth also apart, and as an array."""
    import numpy as np
    from PIL import Image

    content = gzip.decompress(IMAGES.read_bytes())
    images = np.frombuffer(content, "uint8", offset=16).reshape(-1, 28, 28)
    images = images[np.arange(number) % len(images)]
    np.save(folder / "x.npy", images[..., None] / np.float32(255))
    for part in (number // 10, number):
        (folder / f"{part}").mkdir()
    for index, pixels in enumerate(images):
        path = folder / f"{number}" / f"{index:06}.png"
        Image.fromarray(pixels).save(path)
        if index < number // 10:
            os.link(path, folder / f"{number // 10}" / path.name)


def csv(folder, number):
    return folder / f"{number}.csv"


def measure(command):
    """Return the seconds and the peak memory in bytes of a process."""
    start = time.perf_counter()
    with subprocess.Popen(
        [*map(str, command)], stdout=subprocess.DEVNULL
    ) as run:
        _, status, usage = os.wait4(run.pid, 0)
        run.returncode = os.waitstatus_to_exitcode(status)
    if run.returncode:
        raise SystemExit(f"{command} failed")
    return time.perf_counter() - start, usage.ru_maxrss * 1024


def resumed(command, output, whole):
    """Interrupt a run half way, resume it, and compare its file."""
    output.unlink()
    with subprocess.Popen(
        [*map(str, command)], stdout=subprocess.DEVNULL
    ) as run:
        while not output.is_file() or output.stat().st_size < len(whole) / 2:
            time.sleep(0.01)
        run.send_signal(signal.SIGINT)
    rows = output.read_bytes().count(b"\n") - 1
    measure([*command, "--resume"])
    end = f"the file is {same(output, whole)}"
    print(f"Interrupted after {rows} rows and resumed: {end}")


def same(output, whole):
    return "equal" if output.read_bytes() == whole else "DIFFERENT"


if __name__ == "__main__":
    main()
