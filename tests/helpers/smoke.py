"""Try the installed wheel: python -I smoke.py jax|export.

It runs in an environment that has the wheel with that extra and nothing else,
and outside the checkout, so that what is missing from the wheel is missed.
"""

import importlib.util
import os
import subprocess
import sys
import tempfile
from pathlib import Path

EXTRA = sys.argv[1]
os.environ["KERAS_BACKEND"] = "jax" if EXTRA == "jax" else "tensorflow"
os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")

import keras  # noqa: E402
import numpy as np  # noqa: E402

import keras_inception_layers as inception  # noqa: E402

COMMAND = [sys.executable, "-I", "-m", "keras_inception_export"]
FILTERS = ((2,), (2, 3), (2, 3), (2,))
LOAD = """
import sys, keras, keras_inception_layers
print(keras.models.load_model(sys.argv[1]).count_params())
"""


def check(holds, what, error=""):
    if not holds:
        raise SystemExit(f"{EXTRA}: failed: {what}\n{error}")
    print(f"{EXTRA}: {what}")


def run(*command):
    return subprocess.run(command, capture_output=True, text=True)


def installed(name):
    return importlib.util.find_spec(name) is not None


def main():
    site = Path(sys.prefix).resolve()
    where = Path(inception.__file__).resolve()
    check(site in where.parents, "the wheel is imported, not the checkout")
    check((where.parent / "py.typed").exists(), "it has its types")

    image = keras.Input((8, 8, 1), name="image")
    x = inception.InceptionV1Block(FILTERS)(image)
    x = keras.layers.GlobalAveragePooling2D()(x)
    model = keras.Model(image, keras.layers.Dense(2, name="score")(x))
    model.compile("adam", "mse")
    images = np.random.default_rng(0).random((4, 8, 8, 1), "float32")
    loss = model.fit(images, np.zeros((4, 2)), epochs=1, verbose=0)
    check(np.isfinite(loss.history["loss"][0]), "a block is trained")
    check("<svg" in inception.draw(model.layers[1]), "and drawn")
    model.save("model.keras")
    loaded = run(sys.executable, "-I", "-c", LOAD, "model.keras")
    count = loaded.stdout.strip()
    check(count == str(model.count_params()), "and loaded in a new process")

    check(run(*COMMAND, "--help").returncode == 0, "--help is shown")
    export = run(*COMMAND, "export", "model.keras", "--output", "bundle")
    if EXTRA == "jax":
        check(not installed("tensorflow"), "TensorFlow is not installed")
        line = export.stderr.strip()
        says = "is not installed; pip install" in line and "\n" not in line
        check(export.returncode == 2 and says, f"export says it: {line}")
        return
    check(export.returncode == 0, "the model is exported", export.stderr)
    for command in ("verify", "info"):
        done = run(*COMMAND, command, "bundle")
        check(done.returncode == 0, f"{command} bundle", done.stderr)
    np.save("images.npy", images)
    done = run(*COMMAND, "predict", "bundle", "images.npy")
    check(done.returncode == 0, "predict bundle images.npy", done.stderr)


if __name__ == "__main__":
    with tempfile.TemporaryDirectory() as folder:
        os.chdir(folder)
        main()
