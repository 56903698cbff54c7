"""The rooms of the exporter, and the direction in which they import."""

import ast
import subprocess
import sys
from pathlib import Path

import pytest

from keras_inception_export.formats.registry import FORMATS

ROOT = Path(__file__).parents[1]
EXPORTER, PLUGIN = "keras_inception_export", "keras_inception_layers"
FOLDERS = {EXPORTER: ROOT / "export", PLUGIN: ROOT / PLUGIN}

# From the lowest room to the highest. A module imports from its own level and
# the levels below it.
LEVELS = (
    {"errors", "logs"},
    {"time_limit"},
    {"child_process"},
    {"data"},
    {"model"},
    {"formats"},
    {"prediction"},
    {"bundle"},
    {"options"},
    {"verification", "diagnosis", "benchmarking", "quantization"},
    {"pipeline", "report"},
    {"cli", "__init__", "__main__"},
)
RANKS = {room: rank for rank, rooms in enumerate(LEVELS) for room in rooms}

# What runs on a device that has numpy and one runtime, and the ONNX graph with
# its passes.
WITHOUT_FRAMEWORK = (
    "cli.main",
    "cli.predict",
    "bundle.info",
    "bundle.artifact",
    "bundle.snippets",
    "prediction.ray_engine",
    "verification.verify",
    "diagnosis.diagnose",
    "benchmarking.run",
    "benchmarking.worker",
    "report.write",
    "formats.registry",
    "formats.onnx.runtime",
    "formats.onnx.intermediates",
    "formats.onnx.quantize.placement",
    "formats.onnx.serialize",
    "formats.tflite.runtime",
    "formats.tflite.intermediates",
    "formats.saved_model.runtime",
    "formats.openvino.runtime",
)


def modules(package):
    """Return the source file of each module of a package."""
    folder = FOLDERS[package]
    return {
        ".".join((package, *path.relative_to(folder).with_suffix("").parts)): (
            path
        )
        for path in sorted(folder.rglob("*.py"))
    }


def imports(source):
    """Return the modules that a source imports, and whether at its top."""
    tree = ast.parse(source)
    for node in ast.walk(tree):
        names = []
        if isinstance(node, ast.Import):
            names = [alias.name for alias in node.names]
        elif isinstance(node, ast.ImportFrom):
            names = [f"{node.module}.{alias.name}" for alias in node.names]
        for name in names:
            yield name, node in tree.body


def room_of(module):
    return module.split(".")[1] if "." in module else "__init__"


def upward_imports(module, source):
    """Return what a module of the exporter imports from a room above it."""
    return [
        name
        for name, _ in imports(source)
        if name.startswith(f"{EXPORTER}.")
        and RANKS[room_of(name)] > RANKS[room_of(module)]
    ]


@pytest.mark.parametrize("module", modules(EXPORTER))
def test_no_room_imports_from_one_above_it(module):
    assert not upward_imports(module, modules(EXPORTER)[module].read_text())


def test_an_upward_import_is_found():
    source = f"def f():\n    from {EXPORTER}.cli.main import main"
    assert upward_imports(f"{EXPORTER}.data.samples", source)
    source = f"from {EXPORTER}.verification.parity import tolerance"
    assert not upward_imports(f"{EXPORTER}.diagnosis.capture", source)


def test_every_room_has_a_level():
    folder = FOLDERS[EXPORTER]
    rooms = {path.stem for path in folder.iterdir() if path.suffix == ".py"}
    rooms |= {path.parent.name for path in folder.glob("*/__init__.py")}
    assert rooms == set(RANKS)


def cycle(graph):
    """Return the modules of an import cycle; empty if there is none."""
    done, path = set(), []

    def visit(module):
        if module in path:
            return path[path.index(module) :]
        if module in done:
            return []
        path.append(module)
        for other in graph.get(module, ()):
            if found := visit(other):
                return found
        done.add(path.pop())
        return []

    return next((found for x in graph if (found := visit(x))), [])


def test_no_modules_import_each_other():
    files = modules(EXPORTER)
    graph = {
        module: {
            name if name in files else name.rpartition(".")[0]
            for name, at_top in imports(path.read_text())
            if at_top and name.startswith(EXPORTER)
        }
        for module, path in files.items()
    }
    assert cycle(graph) == []
    assert cycle({"a": {"b"}, "b": {"c"}, "c": {"b"}}) == ["b", "c"]


@pytest.mark.parametrize("module", modules(PLUGIN))
def test_the_plugin_imports_keras_and_numpy_alone(module):
    allowed = {"keras", "numpy", PLUGIN} | sys.stdlib_module_names
    found = {
        name.split(".")[0]
        for name, at_top in imports(modules(PLUGIN)[module].read_text())
        if at_top
    }
    assert found <= allowed


def test_rooms_for_devices_import_no_framework():
    names = [f"{EXPORTER}.{name}" for name in WITHOUT_FRAMEWORK]
    names += [name for name in modules(EXPORTER) if ".onnx.passes." in name]
    names += [name for name in modules(EXPORTER) if ".quantize.passes." in name]
    names.append(f"{EXPORTER}.formats.onnx.graph")
    code = (
        "import importlib, sys\n"
        f"for name in {names}:\n"
        "    importlib.import_module(name)\n"
        "    assert not {'keras', 'tensorflow'} & set(sys.modules), name"
    )
    subprocess.run([sys.executable, "-c", code], check=True)


def format_names(source):
    """Return the names of formats that are string literals of a source."""
    return [
        node.value
        for node in ast.walk(ast.parse(source))
        if isinstance(node, ast.Constant) and node.value in FORMATS
    ]


@pytest.mark.parametrize(
    "module", [x for x in modules(EXPORTER) if room_of(x) != "formats"]
)
def test_only_the_formats_room_names_a_format(module):
    assert not format_names(modules(EXPORTER)[module].read_text())


def test_a_format_name_is_found():
    assert format_names("if name == 'onnx': pass") == ["onnx"]
