"""The examples of the docstrings, run as they stand."""

import doctest
import importlib
import pkgutil

import keras
import pytest

import keras_inception_layers
from benchmarks.notebook_model import VGG16_Inception
from keras_inception_layers import porting

PACKAGES = (keras_inception_layers, porting)
NAMES = {
    "keras": keras,
    "VGG16_Inception": VGG16_Inception,
    **{
        name: getattr(package, name)
        for package in PACKAGES
        for name in package.__all__
    },
}


def examples():
    finder = doctest.DocTestFinder(exclude_empty=True)
    for module in pkgutil.walk_packages(
        keras_inception_layers.__path__, "keras_inception_layers."
    ):
        imported = importlib.import_module(module.name)
        for example in finder.find(imported, extraglobs=NAMES):
            if example.examples:
                yield example


EXAMPLES = {example.name: example for example in examples()}


@pytest.mark.parametrize("name", EXAMPLES)
def test_example(name):
    failed = doctest.DocTestRunner(
        optionflags=doctest.ELLIPSIS, verbose=False
    ).run(EXAMPLES[name])
    assert failed.failed == 0


def test_every_public_name_has_an_example():
    shown = {name.rsplit(".")[-1] for name in EXAMPLES}
    functions = {name for name, value in NAMES.items() if callable(value)}
    assert functions - {"VGG16_Inception", "keras"} <= shown
