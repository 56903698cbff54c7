"""Layers as Keras tests them, in ONNX; `benchmarks/keras_corpus.py` has all."""

import warnings

import keras
import numpy as np
import pytest

from benchmarks.corpus import inputs, judge, layers
from benchmarks.corpus.case import Case

REFUSED = {
    "HashedCrossing": "SparseCross",
}
"""For each layer that is not exported to ONNX, a part of the message."""


@pytest.fixture(scope="module")
def cases(request):
    # A mark of Keras's own tests, which are imported.
    request.config.addinivalue_line("markers", "requires_trainable_backend")
    with warnings.catch_warnings(action="ignore"):
        return layers.cases()


SLOW = (
    "Bidirectional",
    "ConvLSTM1D",
    "ConvLSTM2D",
    "ConvLSTM3D",
    "GRU",
    "LSTM",
    "RNN",
    "SimpleRNN",
    "STFTSpectrogram",
)
"""Layers of many steps take a minute here; the benchmark has them."""

GROUP = 12
"""Layers that are exported in one model, which takes less time."""

ALONE = {*REFUSED, "ReversibleEmbedding"}
"""Those of which a model of several would be refused: one is in bfloat16."""


@pytest.mark.filterwarnings("ignore")
def test_a_configuration_of_every_layer_is_right_or_refused(cases):
    chosen = {}
    for case in cases:
        if case.row not in chosen and layers.builds(case.build):
            chosen[case.row] = case
    assert len(chosen) > 80
    assert chosen.keys() >= {*SLOW, *REFUSED}
    chosen = {row: x for row, x in chosen.items() if row not in SLOW}
    alone = [chosen[row] for row in ALONE if row in chosen]
    grouped = [chosen[row] for row in chosen if row not in ALONE]
    for start in range(0, len(grouped), GROUP):
        group = grouped[start : start + GROUP]
        if judge.judge(_together(group), "onnx", "ours")["status"] != "right":
            alone += group
    found = {case.row: judge.judge(case, "onnx", "ours") for case in alone}
    failures = {
        row: result
        for row, result in found.items()
        if result["status"] != ("refused" if row in REFUSED else "right")
        or REFUSED.get(row, "") not in result.get("detail", "")
    }
    assert not failures


def _together(group):
    """Return a model that applies each layer of a group to its own inputs."""

    def build():
        symbols, outputs = [], []
        for case in group:
            model = case.build()
            own = [
                keras.Input(
                    batch_shape=x.shape,
                    dtype=x.dtype,
                    name=f"{case.row}_{x.name}",
                )
                for x in model.inputs
            ]
            symbols += own
            outputs += keras.tree.flatten(model(own))
        return keras.Model(symbols, outputs)

    return Case(
        name="group",
        row="group",
        text=", ".join(case.row for case in group),
        build=build,
        shapes={
            f"{case.row}_{name}": shape
            for case in group
            for name, shape in case.shapes.items()
        },
    )


def test_cases_are_distinct_and_have_unknown_sizes_once(cases):
    assert len({x.name for x in cases}) == len({x.text for x in cases})
    assert len(cases) == len({x.name for x in cases})
    rows = [x.row for x in cases if x.name.endswith(".any")]
    assert "Conv2D" in rows and len(rows) == len(set(rows))


LARGE, SMALL = np.full(4, 1e6), np.linspace(-2, 14, 4)
VALUES = np.stack([LARGE, SMALL], axis=1).astype("float32")


@pytest.mark.parametrize(
    "got, status",
    [
        (VALUES, "right"),
        (VALUES * np.float32(1 + 1e-6), "right"),
        (VALUES + np.float32([0, 1e-2]), "wrong"),
        (VALUES + np.float32([100, 0]), "wrong"),
        (np.where(VALUES == -2, np.nan, VALUES), "wrong"),
        (VALUES[:3], "wrong"),
    ],
)
def test_a_small_column_is_compared_beside_a_large_one(got, status):
    tolerance = inputs.tolerance(VALUES, [VALUES])
    assert judge.compare(got, VALUES, tolerance)["status"] == status


def test_integers_must_be_equal_and_infinities_are_left_out():
    integers = np.arange(6).reshape(2, 3)
    exact = inputs.tolerance(integers, [integers])
    assert judge.compare(integers, integers, exact)["status"] == "right"
    assert judge.compare(integers + 1, integers, exact)["status"] == "wrong"
    infinite = np.float32([[np.inf, 1], [2, 3]])
    allowed = inputs.tolerance(infinite, [infinite])
    finite = np.float32([[7, 1], [2, 3]])
    assert judge.compare(finite, infinite, allowed)["status"] == "right"
    assert judge.compare(infinite, finite, allowed)["status"] == "wrong"
