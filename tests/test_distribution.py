"""The files of the released wheel and sdist, and their metadata."""

import re
import subprocess
import sys
import tarfile
import tomllib
import zipfile
from pathlib import Path

import pytest

import keras_inception_layers

ROOT = Path(__file__).parents[1]
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
NAME = f"keras_inception_layers-{PROJECT['version']}"
FOLDERS = {
    "keras_inception_layers": "keras_inception_layers",
    "export": "keras_inception_export",
}
BESIDE = ("pyproject.toml", "README.md", "LICENSE", "CHANGELOG.md")
BESIDE += ("CITATION.cff", "MANIFEST.in")


def sources():
    """Yield all files of the packages, by their paths in the repository."""
    for folder in FOLDERS:
        for path in (ROOT / folder).rglob("*"):
            if path.is_file() and "__pycache__" not in path.parts:
                yield path.relative_to(ROOT).as_posix()


@pytest.fixture(scope="module")
def built(tmp_path_factory):
    """Build the sdist, and the wheel from the sdist; return their folder."""
    checkout = tmp_path_factory.mktemp("checkout")
    output = tmp_path_factory.mktemp("dist")
    tests = ("tests/__init__.py", "tests/test_package.py")
    for name in (*sources(), *BESIDE, *tests):
        copy = checkout / name
        copy.parent.mkdir(parents=True, exist_ok=True)
        copy.write_bytes((ROOT / name).read_bytes())
    command = [sys.executable, "-m", "build", "--no-isolation", "--outdir"]
    done = subprocess.run(
        [*command, output, checkout], capture_output=True, text=True
    )
    assert done.returncode == 0, done.stdout + done.stderr
    return output


def test_the_wheel_has_every_file_of_the_packages_and_nothing_else(built):
    expected = {FOLDERS[x.split("/")[0]] + x[x.index("/") :] for x in sources()}
    metadata = "METADATA RECORD WHEEL entry_points.txt top_level.txt"
    metadata += " licenses/LICENSE"
    expected |= {f"{NAME}.dist-info/{name}" for name in metadata.split()}
    wheel = zipfile.ZipFile(built / f"{NAME}-py3-none-any.whl")
    assert set(wheel.namelist()) == expected


def test_the_sdist_has_the_sources_and_no_tests(built):
    with tarfile.open(built / f"{NAME}.tar.gz") as archive:
        names = {x.name for x in archive.getmembers() if x.isfile()}
    names = {x.removeprefix(f"{NAME}/") for x in names if ".egg-info/" not in x}
    made = {"PKG-INFO", "setup.cfg"}
    assert names == {*sources(), *BESIDE, *made}


def test_the_version_is_the_same_everywhere():
    assert keras_inception_layers.__version__ == PROJECT["version"]
    citation = (ROOT / "CITATION.cff").read_text(encoding="utf-8")
    assert f"\nversion: {PROJECT['version']}\n" in citation
    changes = (ROOT / "CHANGELOG.md").read_text(encoding="utf-8")
    assert re.search(r"^## (\S+)", changes, re.M)[1] == PROJECT["version"]


def test_every_python_version_is_named_and_tested():
    prefix = "Programming Language :: Python :: 3."
    named = [
        f"3.{x.removeprefix(prefix)}"
        for x in PROJECT["classifiers"]
        if x.startswith(prefix)
    ]
    assert PROJECT["requires-python"] == f">={named[0]}"
    assert f"python={named}".replace("'", '"') in (
        ROOT / "noxfile.py"
    ).read_text(encoding="utf-8")


def test_the_classifiers_exist():
    from trove_classifiers import classifiers

    assert set(PROJECT["classifiers"]) <= classifiers
