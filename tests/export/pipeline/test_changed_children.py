"""A model of which layers were changed is exported as it is, or refused."""

import pytest

from keras_inception_export import RequestError, export_model
from tests.helpers.changed_children import (
    DOCUMENTED,
    attention_model,
    changed_model,
    every_change,
    ignore_warnings,
    plugin_model,
)


@pytest.mark.slow
@ignore_warnings
@every_change
def test_a_changed_model_is_exported_as_documented(change, tmp_path):
    """What is published was compared with the model as it was changed."""
    for number, make in enumerate((plugin_model, attention_model)):
        outcome = "kept"
        try:
            export_model(
                changed_model(make, change),
                tmp_path / make.__name__,
                formats="onnx",
            )
        except RequestError:
            outcome = "error"
        assert outcome == DOCUMENTED[change]["export"][number], make.__name__
