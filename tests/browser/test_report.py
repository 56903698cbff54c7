"""The HTML report in headless Chromium: wide, on a phone, dark and printed."""

import json
import subprocess
from pathlib import Path

import keras
import numpy as np
import pytest

from keras_inception_export import export_model, write_report
from keras_inception_layers import InceptionV1Block

VIEWS = {
    "wide": {"viewport": {"width": 1280, "height": 900}},
    "phone": {"viewport": {"width": 390, "height": 844}, "isMobile": True},
    "dark": {
        "viewport": {"width": 1280, "height": 900},
        "colorScheme": "dark",
    },
    "dark phone": {
        "viewport": {"width": 320, "height": 700},
        "colorScheme": "dark",
    },
    "print": {"viewport": {"width": 794, "height": 1123}, "media": "print"},
}


@pytest.fixture(scope="module")
def found(tmp_path_factory):
    """What Chromium finds in the report of a small classifier, per view."""
    folder = tmp_path_factory.mktemp("report")
    keras.utils.set_random_seed(0)
    image = keras.Input((8, 8, 1), name="image")
    x = image
    for i in range(3):
        x = InceptionV1Block(((2,), (2, 4), (2, 4), (2,)), name=f"b{i}")(x)
    x = keras.layers.GlobalAveragePooling2D()(x)
    x = keras.layers.Dense(3, activation="softmax", name="long" * 30)(x)
    model = keras.Model(image, x, name="name" * 30)
    images = np.random.default_rng(0).random((60, 8, 8, 1), "float32")
    labels = model.predict(images, verbose=0).argmax(axis=1)
    export_model(
        model,
        folder / "small",
        formats=["onnx", "tflite"],
        samples=(images, labels),
        labels=["<img>", "cat", "a very long name of a class" * 3],
        quantize="dynamic",
        min_agreement=0,
        max_accuracy_drop=1,
    )
    path = write_report(folder / "small", samples=(images, labels))
    done = subprocess.run(
        ["node", Path(__file__).with_name("report.mjs")],
        input=json.dumps({"url": path.as_uri(), "views": VIEWS}),
        capture_output=True,
        text=True,
        timeout=180,
    )
    assert done.returncode == 0, done.stderr
    return path.as_uri(), json.loads(done.stdout)


@pytest.mark.parametrize("view", VIEWS)
def test_view(view, found):
    url, views = found
    shown = views[view]
    assert shown["console"] == []
    assert shown["requests"] == [url]
    page, window = shown["width"]
    assert page <= window
    assert len(shown["figures"]) > 10
    assert all(min(width, height) > 0 for _, width, height in shown["figures"])
    severe = [x for x in shown["axe"] if x[0] in ("serious", "critical")]
    assert severe == []
    assert shown["passes"] > 30  # axe ran
    assert shown["textSize"] > 8


def test_figures_follow_the_color_scheme(found):
    """Text in figures is dark on light pages and light on dark ones."""

    def brightness(color):
        red, green, blue = map(int, color[4:-1].split(","))
        return (red + green + blue) / 3

    for view, shown in found[1].items():
        page = brightness(shown["page"])
        assert (page < 100) is view.startswith("dark")
        for color in shown["text"]:
            assert abs(brightness(color) - page) > 100
