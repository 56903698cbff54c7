"""The tables in docs/explanation/conventions.md equal those of the code."""

import inspect
import re
from dataclasses import fields, replace
from pathlib import Path

import pytest

import keras_inception_layers as plugin
from keras_inception_layers.preprocessing import MODES
from tests.helpers.networks import (
    NETWORKS,
    NETWORKS_WITH_CONVENTIONS,
    module_of,
)

DOCUMENT = Path(__file__).parents[1] / "docs/explanation/conventions.md"
SECTION = re.compile(
    r"^## ([\w ]+)\n(.*?)(?=^## |\Z)", re.DOTALL | re.MULTILINE
)
SECTIONS = dict(SECTION.findall(DOCUMENT.read_text(encoding="utf-8")))
YES_NO = {True: "yes", False: "no"}


def initializer(value):
    """Return how the document writes an initializer."""
    if isinstance(value, str):
        return f"`{value}`"
    arguments = ", ".join(
        f"{k}={v:.3g}" if isinstance(v, float) else f"{k}={v}"
        for k, v in value["config"].items()
    )
    return f"`{value['class_name']}({arguments})`"


# Per field: its name in the document, and how its values are written there.
LABELS = {
    "scale": ("scale of batch norm", YES_NO),
    "epsilon": ("epsilon of batch norm", "{:g}".format),
    "momentum": ("momentum of batch norm", "{:g}".format),
    "kernel_initializer": ("initial kernels", initializer),
    "dropout": ("dropout before the classifier", "{:g}".format),
    "count_border": (
        "border in an average pooling",
        {True: "zeros, counted in the mean", False: "left out of the mean"},
    ),
    "use_batch_norm": ("batch norm, if `use_batch_norm` is not given", YES_NO),
    "kernel_sizes": (
        "kernel sizes of the second and third branch",
        lambda sizes: ", ".join(f"{n} x {n}" for n in sizes),
    ),
    "stem_padding": (
        "padding of the 7 x 7 convolution, which halves the grid",
        {"same": '`"same"`', 3: "3 rows and columns on every side"},
    ),
    "ceil_mode": (
        "padding of a max pooling that halves the grid",
        {
            False: '`"same"`',
            True: "none at the start, and the size rounded up",
        },
    ),
    "last_pool": ("window of the last of these poolings", "{0} x {0}".format),
    "adaptive_pooling": (
        "average pooling of a side head",
        {
            False: "windows of 5 x 5 with strides of 3",
            True: "4 x 4 regions that cover the feature maps",
        },
    ),
    "min_size": ("minimum image size", "{0} x {0}".format),
    "min_size_auxiliary": (
        "minimum image size with the side heads",
        "{0} x {0}".format,
    ),
}


def table(network):
    """Return the lines that the document should have for a network."""
    conventions = module_of(network).CONVENTIONS
    default = inspect.signature(network).parameters["convention"].default
    heads = [
        f'`"{name}"`' + (" (default)" if name == default else "")
        for name in conventions
    ]
    lines = [["", *heads], ["---"] * (1 + len(heads))]
    for field in fields(conventions[default]):
        label, words = LABELS[field.name]
        word = words.get if isinstance(words, dict) else words
        values = [getattr(x, field.name) for x in conventions.values()]
        lines.append([label, *map(word, values)])
    modes = MODES[network.__name__]
    quoted = (f'`"{modes[name]}"`' for name in conventions)
    lines.append(["mode of `preprocess_input`", *quoted])
    return [f"| {' | '.join(line)} |".replace("|  |", "| |") for line in lines]


def test_every_network_with_conventions_has_a_section():
    assert set(SECTIONS) == {*NETWORKS_WITH_CONVENTIONS, "Feature maps"}


@pytest.mark.parametrize("name", NETWORKS_WITH_CONVENTIONS)
def test_the_table_of_the_document_equals_the_code(name):
    lines = SECTIONS[name].splitlines()
    assert [x for x in lines if x.startswith("|")] == table(NETWORKS[name])


def level_table():
    """Return the lines of the table of feature maps."""
    levels = range(6)
    lines = [["level", *map(str, levels)], ["---"] * 7]
    for name, network in NETWORKS.items():
        names = module_of(network).LEVELS
        lines.append([name, *(f"`{names.get(x, '-')}`" for x in levels)])
    return [f"| {' | '.join(line)} |".replace("`-`", "-") for line in lines]


def test_the_table_of_feature_maps_equals_the_code():
    lines = SECTIONS["Feature maps"].splitlines()
    assert [x for x in lines if x.startswith("|")] == level_table()


def test_a_changed_convention_changes_the_table(monkeypatch):
    module = module_of(plugin.GoogLeNet)
    paper = replace(module.CONVENTIONS["paper"], last_pool=2)
    before = table(plugin.GoogLeNet)
    monkeypatch.setitem(module.CONVENTIONS, "paper", paper)
    assert table(plugin.GoogLeNet) != before
