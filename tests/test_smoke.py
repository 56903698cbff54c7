"""The main path, fast: a block, saved, loaded, exported and verified."""

import keras
import numpy as np

from keras_inception_export import export_model, load_artifact, verify
from keras_inception_export.formats.registry import FORMATS
from keras_inception_layers import ConvBN, InceptionV1Block
from tests.helpers.numeric import random_images, randomize, relative_error

# The largest error that was measured is 3e-7.
TOLERANCE = 5e-6


def test_a_block_reaches_every_format(tmp_path):
    model = keras.Sequential(
        [
            keras.Input((8, 8, 2), name="image"),
            ConvBN(4, 3),
            InceptionV1Block(((4,), (3, 5), (2, 4), (3,))),
            keras.layers.GlobalAveragePooling2D(),
            keras.layers.Dense(3, name="kind"),
        ]
    )
    randomize(model).save(tmp_path / "model.keras")
    loaded = keras.models.load_model(tmp_path / "model.keras")
    images = random_images((5, 8, 8, 2))
    expected = model.predict(images, verbose=0)
    np.testing.assert_array_equal(loaded.predict(images, verbose=0), expected)
    report = export_model(
        tmp_path / "model.keras", tmp_path / "out", formats=FORMATS
    )
    assert [x["format"] for x in report["artifacts"]] == list(FORMATS)
    assert all(result.passed for result in verify(tmp_path / "out"))
    for artifact in report["artifacts"]:
        run = load_artifact(tmp_path / "out" / artifact["path"])
        assert relative_error(run(images)["kind"], expected) <= TOLERANCE
        assert relative_error(run(images * 1.001)["kind"], expected) > TOLERANCE
