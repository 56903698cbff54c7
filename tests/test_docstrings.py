"""Docstrings are complete and agree with the signatures; examples run."""

import ast
import doctest
import importlib
import inspect
import pkgutil
import re

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


PUBLIC = {
    name: getattr(package, name)
    for package in PACKAGES
    for name in package.__all__
    if callable(getattr(package, name))
}
ENTRY = re.compile(r"^    (\S+): ", re.MULTILINE)
DEFAULT = re.compile(r"Defaults\s+to\s+`([^`]+)`")


def sections(docstring):
    parts = re.split(
        r"^([A-Z][a-z ]+):\n", inspect.cleandoc(docstring), flags=re.M
    )
    return dict(zip(parts[1::2], parts[2::2], strict=True))


def parameters(public):
    # `__new__` of Keras's layers hides the arguments of `__init__`.
    called = public.__init__ if inspect.isclass(public) else public
    found = inspect.signature(called).parameters.values()
    stars = {"VAR_POSITIONAL": "*", "VAR_KEYWORD": "**"}
    return {
        stars.get(x.kind.name, "") + x.name: x
        for x in found
        if x.name != "self"
    }


@pytest.mark.parametrize("name", PUBLIC)
def test_every_argument_is_described_in_order(name):
    public = PUBLIC[name]
    described = sections(public.__doc__)
    assert ENTRY.findall(described["Args"]) == list(parameters(public))
    about = (
        {"Call arguments", "Input shape", "Output shape", "Raises", "Reference"}
        if inspect.isclass(public)
        else {"Returns"}
    )
    assert about | {"Args", "Example"} <= set(described)


def wrong_defaults(public):
    """Return the arguments whose described default is not that of the code."""
    _, *parts = ENTRY.split(sections(public.__doc__)["Args"])
    entries = dict(zip(parts[::2], parts[1::2], strict=True))
    wrong = []
    for name, parameter in parameters(public).items():
        expected = parameter.default
        text = DEFAULT.search(entries[name])
        if expected is parameter.empty or text is None:
            agrees = (expected is parameter.empty) == (text is None)
        elif text[1].endswith("()"):  # a function is called instead of None
            agrees = expected is None
        else:
            agrees = ast.literal_eval(text[1]) == expected
        if not agrees:
            wrong.append(name)
    return wrong


@pytest.mark.parametrize("name", PUBLIC)
def test_described_defaults_are_those_of_the_signature(name):
    assert wrong_defaults(PUBLIC[name]) == []


def test_wrong_defaults_are_found():
    def documented(a, b=1, c=2, d=(3, 4), e=None):
        """Do nothing.

        Args:
            a: required, so it has no default. Defaults to `0`.
            b: described correctly. Defaults to `1`.
            c: described wrongly. Defaults to
                `3`.
            d: not described.
            e: described by a call. Defaults to `f()`.
        """

    assert wrong_defaults(documented) == ["a", "c", "d"]
