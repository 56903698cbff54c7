"""Messages of other libraries: the reason, and what ran out."""

import pytest

from keras_inception_export.errors import (
    RuntimeMissingError,
    exhausted,
    missing,
    reason_of,
)

# As Keras 3.15 and TensorFlow 2.21 print them, shortened.
KERAS_CALL = """Exception encountered when calling Sequential.call().

\x1b[1m{}\x1b[0m

Arguments received by Sequential.call():
  • inputs=tf.Tensor(shape=(2, 5), dtype=float32)"""
REASONS = {
    "one line": ("axis -1 must be 4", "axis -1 must be 4"),
    "nothing": ("", "ValueError"),
    "keras call": (KERAS_CALL.format("axis -1\nmust"), "axis -1"),
    "keras call of TensorFlow": (
        KERAS_CALL.format(
            "{{function_node __wrapped__MatMul_device_/job:localhost}} Matrix "
            "size-incompatible: In[0]: [2,5], In[1]: [7,2] [Op:MatMul] name: "
        ),
        "Matrix size-incompatible: In[0]: [2,5], In[1]: [7,2]",
    ),
    "keras output shape": (
        KERAS_CALL.format(
            "Could not automatically infer the output shape / dtype of 'bad' "
            "(of type Bad). Error encountered:\n\nDimensions must be equal"
        ),
        "Dimensions must be equal",
    ),
    "keras class": (
        "<class 'keras.src.models.sequential.Sequential'> could not be "
        "deserialized properly. Please ensure that components ...\n\n"
        "config={'module': 'keras'}.\n\nException encountered: Could not "
        "locate class 'Odd'. Make sure. Full object config: {'module': None}",
        "Could not locate class 'Odd'. Make sure.",
    ),
    "keras weights": (
        "A total of 1 objects could not be loaded. Example error message for "
        "object <Dense name=dense_2, built=True>:\n\nThe shape must match. "
        "Received: value.shape=(4, 3). Target variable: <Variable [[0.4\n 1]]>"
        "\n\nList of objects that could not be loaded:\n[<Dense>]",
        "The shape must match. Received: value.shape=(4, 3).",
    ),
    "tf.function": (
        'in user code:\n\n    File "a.py", line 28, in g  *\n        return x'
        "\n\n    ValueError: Dimensions must be equal, but are 5 and 7\n",
        "Dimensions must be equal, but are 5 and 7",
    ),
    "graph": (
        "Graph execution error:\n\nDetected at node MatMul defined at (most "
        "recent call last):\n  File \"a.py\", line 1, in f\nNode: 'MatMul'\n"
        "Matrix size-incompatible: [2,5]\n\t [[{{node MatMul}}]] "
        "[Op:__inference_f_1]",
        "Matrix size-incompatible: [2,5]",
    ),
    "openvino": (
        "Exception from src/core.cpp:95:\nException from src/reader.cpp:155:\n"
        "Unable to read the model: m.xml Please check it.\n\n",
        "Unable to read the model: m.xml Please check it.",
    ),
}


@pytest.mark.parametrize(("text", "reason"), REASONS.values(), ids=REASONS)
def test_the_reason_of_an_error(text, reason):
    assert reason_of(ValueError(text)) == reason


def test_a_missing_key_is_named_as_such():
    assert reason_of(KeyError(4)) == "KeyError 4"


def test_the_layer_is_named():
    error = ValueError("wrong")
    error.layer = "dense"
    assert reason_of(error) == "the layer dense: wrong"


EXHAUSTED = {
    "disk": (OSError(28, "No space left on device"), "the disk is full"),
    "quota": (RuntimeError("x; Disk quota exceeded"), "the disk is full"),
    "size": (ValueError("a/b.tmp; File too large [Op:SaveV2]"), "exceeds"),
    "files": (OSError(24, "Too many open files"), "limit of open files"),
    "threads": (RuntimeError("can't start new thread"), "of processes and"),
    "memory": (MemoryError(), "memory ran out"),
    "native": (RuntimeError("std::bad_alloc"), "memory ran out"),
    "import": (
        ImportError("x.so: failed to map segment from shared object"),
        "memory ran out",
    ),
    "child": (
        RuntimeError("the child process was killed by signal 9 (SIGKILL), so"),
        "a child process was killed by signal 9 (SIGKILL)",
    ),
    "another": (ValueError("a shape is wrong"), ""),
    "a module of this package": (
        ModuleNotFoundError("No module", name="keras_inception_export.x"),
        "",
    ),
    "another signal": (RuntimeError("was killed by signal 95"), ""),
}


@pytest.mark.parametrize(
    ("error", "text"), EXHAUSTED.values(), ids=list(EXHAUSTED)
)
@pytest.mark.parametrize("nested", [False, True])
def test_what_ran_out(error, text, nested):
    if nested:
        outer = RuntimeError("the model cannot be converted")
        outer.__cause__ = error
        error = outer
    assert text in exhausted(error)
    assert bool(exhausted(error)) == bool(text)


def test_what_is_not_installed():
    error = ModuleNotFoundError("No module", name="tensorflow.python")
    assert exhausted(error).startswith("the package tensorflow is not inst")
    # A library tries one package, and another error follows.
    other = RuntimeError("a shape is wrong")
    other.__context__ = error
    assert exhausted(other) == ""


MISSING = {
    "itself": (
        ModuleNotFoundError("No module", name="ai_edge_litert.interpreter"),
        "which is not installed; pip install ai-edge-litert",
    ),
    "what it needs": (
        ModuleNotFoundError("No module named 'h5py'", name="h5py"),
        "which cannot be imported: the package h5py is not installed; pip "
        "install it, or",
    ),
    "a library": (
        ImportError("libx.so: cannot open shared object file"),
        "which cannot be imported: libx.so: cannot open shared object file",
    ),
    "memory": (
        ImportError("x.so: failed to map segment from shared object"),
        "which cannot be imported: memory ran out",
    ),
}


@pytest.mark.parametrize(("error", "text"), MISSING.values(), ids=MISSING)
def test_a_package_that_cannot_be_imported(error, text):
    found = missing("a.tflite", "ai-edge-litert", error)
    assert type(found) is RuntimeMissingError
    assert str(found).startswith(f"a.tflite needs ai-edge-litert, {text}")


def test_an_interrupted_import_is_an_interruption():
    error = ImportError("initialization failed")
    error.__cause__ = KeyboardInterrupt()
    with pytest.raises(KeyboardInterrupt):
        missing("a.onnx", "onnxruntime", error)
