"""The blocks of docs/fine_tuning.md run, on few images."""

import re
from pathlib import Path

import keras
import numpy as np
import pytest
import sklearn.datasets

PAGE = Path(__file__).parents[1] / "docs" / "fine_tuning.md"
BLOCKS = re.findall(r"^```python\n(.*?)^```$", PAGE.read_text(), re.S | re.M)


@pytest.mark.slow
def test_the_page_runs(monkeypatch):
    digits = sklearn.datasets.load_digits()
    for name in ("images", "target"):
        digits[name] = digits[name][:32]
    monkeypatch.setattr(sklearn.datasets, "load_digits", lambda: digits)
    shown = {}
    for number, text in enumerate(BLOCKS):
        text = text.replace("EPOCHS = 5", "EPOCHS = 1")
        exec(compile(text, f"block {number}", "exec"), shown)
        if "freeze(base" in text:
            part = [len(shown["base"].trainable_weights)]
            assert part == [0] if "freeze(base)" in text else part[0] > 0
    assert set(shown["heads"]) > {"predictions"}
    assert isinstance(shown["deployed"].output, keras.KerasTensor)
    values = keras.Model(shown["opened"].input, shown["features"])
    assert np.any(values(shown["images"][:1]))
    same = shown["source"](shown["images"][:2])
    np.testing.assert_array_equal(shown["opened"](shown["images"][:2]), same)
