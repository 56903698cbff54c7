"""Coverage: totals, its line, and JSON."""

import pytest

from keras_inception_export.data.coverage import Coverage, LayerCoverage

FULL = LayerCoverage("a/full", 4, 4)
HALF = LayerCoverage("half", 20, 10)
DEAD = LayerCoverage("dead", 976, 975, dead=1)


@pytest.mark.parametrize(
    ("layers", "line"),
    (
        ((), "no layer has channels"),
        ((FULL,), "4 of 4 channels (100 %) in 1 layers"),
        (
            (FULL, HALF, DEAD),
            "989 of 1,000 channels (98.9 %) in 3 layers; 1 have no weights; "
            "least: half 50 %",
        ),
        (
            (LayerCoverage("most", 3000, 2999),),
            "2,999 of 3,000 channels (99.9 %) in 1 layers; least: most 99.9 %",
        ),
    ),
)
def test_summary(layers, line):
    assert Coverage(layers).summary() == line


def test_unmoved_layers_are_named_the_worst_first():
    assert Coverage((FULL, DEAD, HALF)).unmoved == (HALF, DEAD)


def test_json_and_back():
    coverage = Coverage((FULL, HALF, DEAD))
    facts = coverage.as_json()
    assert (facts["channels"], facts["moved"], facts["dead"]) == (1000, 989, 1)
    assert Coverage.from_json(facts) == coverage
