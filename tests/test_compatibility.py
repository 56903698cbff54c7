"""Files that were written once are loaded, and verified, for ever.

`python -m tests.test_compatibility` writes them for a new version. Those of
earlier versions are never changed.
"""

import json
from pathlib import Path

import keras
import numpy as np
import pytest

from keras_inception_export import export_model, verify
from keras_inception_layers import ConvBN, InceptionV1Block, InceptionV3BlockE
from keras_inception_layers.registration import registered_layers
from tests.helpers.layer_cases import CASES
from tests.helpers.numeric import random_images, randomize, relative_error

DATA = Path(__file__).parent / "data"
VERSIONS = sorted(path.name for path in DATA.iterdir()) if DATA.is_dir() else []
# As in tests/test_smoke.py.
TOLERANCE = 5e-6
# Cases with layers that Keras names by the number of others.
OTHER_NAMES = {"InceptionBlock", "ConvBN, PReLU"}


def make_model():
    """Return a model of several blocks, in one of which a layer is changed."""
    inputs = keras.Input((8, 8, 3), name="image")
    x = ConvBN(4, 3, padding=1, activation=keras.layers.PReLU())(inputs)
    x = InceptionV1Block(((2,), (3, 4), (2, 3), (2,)), name="v1")(x)
    rows = ((2,), (2, 3), (2, 3), (2,))
    x = InceptionV3BlockE(rows, count_border=True, name="v3")(x)
    x = keras.layers.GlobalAveragePooling2D()(x)
    model = keras.Model(inputs, keras.layers.Dense(3, name="scores")(x))
    changed = model.get_layer("v1").branches[1][0]
    changed.conv.trainable = False
    changed.momentum = 0.5
    return randomize(model)


def names():
    """Return what saved files depend on: registered names, weight paths."""
    found = {}
    for case in CASES.keys() - OTHER_NAMES:
        details = CASES[case]
        layer = details.make(name="layer")
        layer.build(details.images)
        found[case] = [weight.path for weight in layer.weights]
    return {
        "registered": sorted(
            map(keras.saving.get_registered_name, registered_layers().values())
        ),
        "weights": found,
    }


@pytest.mark.parametrize("version", VERSIONS)
def test_a_saved_model_computes_what_it_did(version):
    folder = DATA / version
    model = keras.saving.load_model(folder / "model.keras")
    expected = np.load(folder / "outputs.npy")
    images = random_images((2, 8, 8, 3))
    outputs = model.predict(images, verbose=0)
    assert relative_error(outputs, expected) <= TOLERANCE
    outputs = model.predict(images * 1.001, verbose=0)
    assert relative_error(outputs, expected) > TOLERANCE
    changed = model.get_layer("v1").branches[1][0]
    assert (changed.conv.trainable, changed.momentum) == (False, 0.5)


@pytest.mark.parametrize("version", VERSIONS)
def test_a_bundle_is_still_verified(version):
    assert all(result.passed for result in verify(DATA / version / "bundle"))


@pytest.mark.parametrize("version", VERSIONS)
def test_names_are_never_changed(version):
    before = json.loads((DATA / version / "names.json").read_text())
    now = names()
    assert set(before["registered"]) <= set(now["registered"])
    assert {k: now["weights"][k] for k in before["weights"]} == before[
        "weights"
    ]


def main():
    """Write the files of the present version."""
    import keras_inception_layers

    folder = DATA / keras_inception_layers.__version__
    folder.mkdir(parents=True)
    model = make_model()
    model.save(folder / "model.keras")
    images = random_images((2, 8, 8, 3))
    np.save(folder / "outputs.npy", model.predict(images, verbose=0))
    export_model(model, folder / "bundle")
    text = json.dumps(names(), indent=1, sort_keys=True) + "\n"
    (folder / "names.json").write_text(text)


if __name__ == "__main__":
    main()
