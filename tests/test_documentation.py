"""Every code block of README.md and docs/ runs; the site is complete.

`UPDATE_DOCS=1 python -m pytest tests/test_documentation.py -k PAGE` writes what
the blocks print into the page.
"""

import ast
import re

import keras
import numpy as np
import pytest
import sklearn.datasets
import yaml

import keras_inception_export
import keras_inception_layers
from keras_inception_layers import porting
from tests.helpers.documentation import (
    DOCS,
    PAGES,
    ROOT,
    Session,
    blocks,
    finished,
)
from tests.helpers.tflite_converter import shared_converter

LARGE_MODEL = "docs/explanation/time_and_memory.md"
FINE_TUNING = "docs/how_to/fine_tuning.md"
# What people read first; the other pages run in CI.
FIRST = ("README.md", "docs/tutorial.md")
RESULTS = ("Artifact", "Prediction", "VerificationResult", "Diagnosis")
"""Classes of what public functions return, which are not public names."""
PACKAGES = (keras_inception_layers, porting, keras_inception_export)


@pytest.fixture(scope="module", autouse=True)
def _shared_converter():
    with shared_converter():
        yield


@pytest.mark.parametrize(
    "page",
    [
        pytest.param(page, marks=() if page in FIRST else pytest.mark.slow)
        for page in sorted(PAGES.keys() - {LARGE_MODEL, FINE_TUNING})
    ],
)
def test_the_blocks_run(page):
    finished(page)


@pytest.mark.slow
def test_a_large_model_is_exported_in_little_memory():
    """The largest process has 5 times the weights, beside its libraries.

    `benchmarks/export_cost.py --full` exports 132 million parameters.
    """
    session = Session(LARGE_MODEL, in_process=False).run()
    weights = 4 * 4 * 3200 * 3201
    assert 2 * weights < session.peak < 1e9 + 4.5 * weights
    size = sum(
        path.stat().st_size
        for path in (session.folder / "large/saved_model").rglob("*")
        if path.is_file()
    )
    assert weights <= size <= 1.02 * weights


@pytest.mark.slow
def test_fine_tuning_runs_on_few_images(monkeypatch):
    digits = sklearn.datasets.load_digits()
    for name in ("images", "target"):
        digits[name] = digits[name][:32]
    monkeypatch.setattr(sklearn.datasets, "load_digits", lambda: digits)
    # A graph takes longer to trace than these steps.
    fewer = {
        "EPOCHS = 5": "EPOCHS = 1",
        "metrics=": "run_eagerly=True, metrics=",
    }
    session = Session(FINE_TUNING, replacements=fewer)
    frozen = []
    session.after = lambda block: (
        "freeze(base" in block.text
        and frozen.append(len(session.namespace["base"].trainable_weights))
    )
    shown = session.run().namespace
    assert frozen[0] == 0 < frozen[1]
    assert set(shown["heads"]) > {"predictions"}
    assert isinstance(shown["deployed"].output, keras.KerasTensor)
    values = keras.Model(shown["opened"].input, shown["features"])
    assert np.any(values(shown["images"][:1]))
    same = shown["source"](shown["images"][:2])
    np.testing.assert_array_equal(shown["opened"](shown["images"][:2]), same)


@pytest.mark.parametrize("page", PAGES)
def test_a_block_that_is_not_run_says_why(page):
    for block in blocks(page):
        if not block.is_run:
            reason = block.title.removeprefix("Not run")
            assert len(reason.split()) > 3, f"{page}, line {block.line}"


def messages(source):
    """Yield the texts in a module, with `…` where a value is formatted."""
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.JoinedStr):
            yield "".join(
                x.value if isinstance(x, ast.Constant) else "…"
                for x in node.values
            )
        elif isinstance(node, ast.Constant) and isinstance(node.value, str):
            yield node.value


def test_quoted_messages_are_those_of_the_code():
    page = (DOCS / "how_to/refused_exports.md").read_text(encoding="utf-8")
    cells = re.findall(r"^\| (`.+?) \| ", page, re.M)
    quoted = {text for cell in cells for text in re.findall("`(.+?)`", cell)}
    known = {
        text
        for path in (ROOT / "export").rglob("*.py")
        for text in messages(path.read_text(encoding="utf-8"))
    }
    assert len(quoted) > 20
    for text in quoted:
        assert any(text in message for message in known), text


def test_every_imported_name_is_public():
    public = {name for package in PACKAGES for name in package.__all__}
    for page in PAGES:
        for block in blocks(page):
            for names in re.findall(
                r"^from keras_inception_\w+ import (.+)$", block.text, re.M
            ):
                assert set(names.split(", ")) <= public, page


def entries(nav):
    """Yield the pages of a part of mkdocs.yml's `nav`."""
    for entry in nav:
        (target,) = entry.values() if isinstance(entry, dict) else (entry,)
        yield from entries(target) if isinstance(target, list) else (target,)


def test_the_navigation_lists_every_page_once():
    text = (ROOT / "mkdocs.yml").read_text(encoding="utf-8")
    nav = sorted(entries(yaml.safe_load(text)["nav"]))
    pages = (path.relative_to(DOCS).as_posix() for path in DOCS.rglob("*.md"))
    assert nav == sorted(pages)


def test_the_reference_has_every_public_name():
    text = "".join(
        path.read_text(encoding="utf-8")
        for path in (DOCS / "reference").glob("*.md")
    )
    found = re.findall(r"^::: (\w+)\S*\.(\w+)$", text, re.M)
    public = [
        (package.__name__.split(".")[0], name)
        for package in PACKAGES
        for name in package.__all__
    ]
    found = [item for item in found if item[1] not in RESULTS]
    assert sorted(found) == sorted(public)


def test_links_of_the_readme_lead_somewhere():
    """Those within docs/ are checked by the strict build."""
    text = (ROOT / "README.md").read_text(encoding="utf-8")
    for target in re.findall(r"\]\((?!http)([^)#]+)", text):
        assert (ROOT / target).exists(), target


def test_the_picture_of_the_readme_is_what_is_drawn():
    block = keras_inception_layers.InceptionV1Block(
        ((64,), (96, 128), (16, 32), (32,))
    )
    drawn = keras_inception_layers.draw(block)
    assert (DOCS / "block.svg").read_text(encoding="utf-8") == drawn
