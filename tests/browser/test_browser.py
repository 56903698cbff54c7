"""The page of `examples/browser`, used in headless Chromium."""

import base64
import functools
import http.server
import json
import subprocess
import threading
from pathlib import Path

import keras
import numpy as np
import pytest
from PIL import Image
from sklearn.datasets import load_digits

from keras_inception_export import export_model, load_artifact
from tests.helpers.brightness import write_brightness

HERE = Path(__file__).parent
REPOSITORY = HERE.parents[1]
NAMES = "zero one two three four five six seven eight nine".split()
ANGLES = np.radians(np.arange(-90, 280, 15))
STROKES = {
    "zero": [
        [
            [0.5 + 0.2 * c, 0.5 + 0.3 * s]
            for c, s in zip(np.cos(ANGLES), np.sin(ANGLES), strict=True)
        ]
    ],
    "four": [
        [[0.55, 0.2], [0.42, 0.4], [0.3, 0.6], [0.5, 0.6], [0.72, 0.6]],
        [[0.58, 0.45], [0.58, 0.6], [0.58, 0.8]],
    ],
}
RUNTIMES = {"ONNX Runtime": "model.onnx", "LiteRT": "model.tflite"}


@pytest.fixture(scope="module")
def digits():
    """Images of 32 x 32 from 0 to 1, and their classes."""
    images = load_digits().images[..., None].astype("float32") / 16
    images = keras.ops.image.resize(images, (32, 32))
    return np.asarray(images), load_digits().target


@pytest.fixture(scope="module")
def site(digits, tmp_path_factory):
    """The address and the folder of a server with the page and a model.

    The model has the input and the output of `examples/digits.py`: random
    convolutions, and a layer that least squares fits to most of the digits.
    """
    folder = tmp_path_factory.mktemp("site")
    (folder / "examples").symlink_to(REPOSITORY / "examples")
    keras.utils.set_random_seed(0)
    image = keras.Input((32, 32, 1), name="image")
    x = keras.layers.Conv2D(16, 5, strides=3, activation="relu")(image)
    x = keras.layers.Flatten()(x)
    top = keras.layers.Dense(10, activation="softmax", name="digit")
    model = keras.Model(image, top(x), name="digits")
    features = keras.Model(image, x).predict(digits[0][:1500], verbose=0)
    features = np.c_[features, np.ones(1500)].astype("float64")
    targets = 10 * np.eye(10)[digits[1][:1500]]
    square = features.T @ features + np.eye(features.shape[1])
    fitted = np.linalg.solve(square, features.T @ targets)
    top.set_weights([fitted[:-1], fitted[-1]])
    export_model(
        model,
        folder / "dist" / "digits",
        formats=["onnx", "tflite"],
        preprocess="unit",
        labels=NAMES,
    )
    write_brightness(folder / "model.onnx", known=False)

    class Quiet(http.server.SimpleHTTPRequestHandler):
        def log_message(self, *_):
            pass

    handler = functools.partial(Quiet, directory=folder)
    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), handler) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        yield f"http://127.0.0.1:{server.server_port}/", folder
        server.shutdown()


def use(actions, **task):
    """Return what the page shows after each action, and its other traces."""
    done = subprocess.run(
        ["node", HERE / "page.mjs"],
        input=json.dumps({"actions": actions, **task}),
        capture_output=True,
        text=True,
        timeout=120,
    )
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout)


@pytest.fixture(scope="module")
def pictures(digits, tmp_path_factory):
    """PNG files of held-out digits, and one with a few other pixels."""
    folder = tmp_path_factory.mktemp("pictures")
    pixels = np.rint(255 * digits[0][-4:, ..., 0]).astype("uint8")
    changed = pixels[:1].copy()
    changed[0, 12:16, 12:16] ^= 0x40
    paths = []
    for image in (*pixels, *changed):
        paths.append(str(folder / f"{len(paths)}.png"))
        Image.fromarray(image).save(paths[-1])
    return paths


@pytest.fixture(scope="module")
def found(site, pictures):
    """What the page shows, by runtime and action."""
    page = f"{site[0]}examples/browser/"
    actions = [{"name": "empty", "url": page}]
    for runtime in RUNTIMES:
        actions.append({"name": f"{runtime} chosen", "runtime": runtime})
        for path in pictures:
            actions.append({"name": f"{runtime} {path}", "file": path})
        for i, (name, strokes) in enumerate(STROKES.items()):
            drawing = {"strokes": strokes, "touch": i == 1}
            actions.append({"name": f"{runtime} {name}", **drawing})
    result = use(actions, context={"hasTouch": True})
    names = [action["name"] for action in actions]
    return result | dict(zip(names, result["shown"], strict=True))


def scores(shown):
    assert [label for label, _ in shown["classes"]] == NAMES
    return np.array([score for _, score in shown["classes"]], "float64")


def predicted(site, file, images):
    artifact = load_artifact(site[1] / "dist" / "digits" / file)
    return np.array([x.outputs["digit"] for x in artifact.predict(images)])


@pytest.mark.parametrize("runtime", RUNTIMES)
def test_pictures(runtime, found, site, pictures, digits):
    shown = [found[f"{runtime} {path}"] for path in pictures]
    assert all(x["status"].startswith(f"{runtime}, on this") for x in shown)
    values = np.array([scores(x) for x in shown])
    wanted = predicted(site, RUNTIMES[runtime], pictures)
    np.testing.assert_allclose(values, wanted, rtol=0, atol=1e-5)
    # A picture with a few other pixels has other scores.
    assert np.abs(values[-1] - wanted[0]).max() > 1e-3
    answers = [x["answer"] for x in shown]
    assert answers == [NAMES[i] for i in wanted.argmax(axis=1)]
    assert answers[:4] == [NAMES[i] for i in digits[1][-4:]]


@pytest.mark.parametrize("name", STROKES)
@pytest.mark.parametrize("runtime", RUNTIMES)
def test_drawings(runtime, name, found, site, tmp_path):
    """What the page shows as the model's input gives the scores it shows."""
    shown = found[f"{runtime} {name}"]
    path = tmp_path / "input.png"
    path.write_bytes(base64.b64decode(shown["input"].partition(",")[2]))
    wanted = predicted(site, RUNTIMES[runtime], [path])
    np.testing.assert_allclose(scores(shown), wanted[0], rtol=0, atol=1e-5)
    assert shown["answer"] == name


def test_nothing_is_shown_before(found):
    assert found["empty"]["answer"] == "–"
    assert np.isnan(scores(found["empty"])).all()


def test_no_errors_and_no_requests_elsewhere(found, site):
    """LiteRT prints all of its log as errors."""
    logged = ("INFO: ", "WARNING: ")
    errors = [text for kind, text in found["console"] if kind == "error"]
    assert [text for text in errors if not text.startswith(logged)] == []
    assert len(found["requests"]) > 8
    assert [x for x in found["requests"] if not x.startswith(site[0])] == []


def test_models_that_it_cannot_use(site):
    page = f"{site[0]}examples/browser/"
    folders = ("none/", "")
    urls = [f"{page}?model={site[0]}{folder}" for folder in folders]
    found = use([{"name": "", "url": url} for url in urls])
    missing, unknown = (x["status"] for x in found["shown"])
    assert missing == (
        f"There is no model.onnx in {site[0]}none/: run make demo first."
    )
    assert unknown.startswith("model.onnx does not say how images become its")
