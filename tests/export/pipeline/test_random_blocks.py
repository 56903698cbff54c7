"""Any table of branches is exported in three formats.

Two tables in every run, 100 with `--hypothesis-profile thorough`.
"""

import numpy as np
import pytest
from hypothesis import assume, given, settings

from keras_inception_export import export_model, load_artifact
from keras_inception_export.formats.registry import DEFAULT_FORMATS, FORMATS
from tests.helpers.numeric import (
    FLOAT32_TOLERANCE,
    random_images,
    relative_error,
    to_array,
)
from tests.helpers.random_blocks import (
    equal_models,
    image_shape,
    tables,
)


@pytest.mark.slow
@settings(max_examples=max(2, settings.default.max_examples // 10))
@given(table=tables())
def test_computes_what_a_flat_model_computes(table, tmp_path_factory):
    model, plain, _ = equal_models(table)
    images = random_images((3, *image_shape(table))).astype("float32")
    expected = to_array(plain(images))
    assume(np.ptp(expected, axis=0).any())  # some relu is alive
    folder = tmp_path_factory.mktemp("random") / "bundle"
    report = export_model(model, folder, formats=DEFAULT_FORMATS)
    assert len(report["artifacts"]) == len(DEFAULT_FORMATS) == 3
    for name in DEFAULT_FORMATS:
        artifact = load_artifact(folder / FORMATS[name].file_name)
        (output,) = artifact(images).values()
        assert relative_error(output, expected) < FLOAT32_TOLERANCE
        (other,) = artifact(np.float32(images + 1)).values()
        assert relative_error(other, expected) > FLOAT32_TOLERANCE
