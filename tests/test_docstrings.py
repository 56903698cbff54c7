"""What the docstrings say, and their examples, run as they stand."""

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
from keras_inception_layers.docstrings import complete

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


def sections(docstring):
    parts = re.split(
        r"^([A-Z][a-z ]+):\n", inspect.cleandoc(docstring), flags=re.M
    )
    return dict(zip(parts[1::2], parts[2::2], strict=True))


@pytest.mark.parametrize("name", PUBLIC)
def test_every_argument_is_described_in_order(name):
    public = PUBLIC[name]
    is_layer = inspect.isclass(public)
    described = sections(public.__doc__)
    signature = inspect.signature(public.__init__ if is_layer else public)
    arguments = [
        str(parameter).partition("=")[0]
        for parameter in signature.parameters.values()
        if parameter.name != "self"
    ]
    assert ENTRY.findall(described["Args"]) == arguments
    about = (
        {"Call arguments", "Input shape", "Output shape", "Raises", "Reference"}
        if is_layer
        else {"Returns"}
    )
    assert about | {"Args", "Example"} <= set(described)
    assert max(map(len, public.__doc__.splitlines())) <= 80


def prototype():
    """A base.

    Args:
        a: first.
        b: second, on
            two lines.
        c: third.

    Returns:
        A number.

    Example:

    >>> prototype()
    """


def extended(b, a=(1, 2), *, d="e", **kwargs):
    """An extension.

    Args:
        b: another.
        d: fourth.
        **kwargs: others.

    Raises:
        ValueError: never.
    """


def test_a_docstring_is_completed_from_what_it_extends():
    assert complete(extended, None, prototype.__doc__) is extended
    assert (
        extended.__doc__
        == inspect.cleandoc(
            """An extension.

        Args:
            b: another.
            a: first. Defaults to `(1, 2)`.
            d: fourth. Defaults to `"e"`.
            **kwargs: others.

        Returns:
            A number.

        Raises:
            ValueError: never.
        """
        )
        + "\n"
    )


def test_without_docstrings_nothing_is_completed():
    def bare():
        pass

    assert complete(bare, prototype.__doc__).__doc__ is None
