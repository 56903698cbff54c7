"""A type checker finds the mistakes of a user's file, and nothing else."""

from pathlib import Path

import pytest

mypy = pytest.importorskip("mypy.api")

IMPORTS = """
import keras
from keras_inception_layers import *
from keras_inception_layers.porting import port_torch_weights
rows = ((4,), (4, 8), (2, 4), (4,))
"""
RIGHT = """
ConvBN(8, (3, 1), strides=2, padding=3, activation=None, name="conv")
InceptionV1Block(rows, kernel_sizes=(3, 5), momentum=0.9, dtype="float16")
InceptionV3BlockA([[4], [4, 8], [2, 4], [4]], kernel_regularizer="l2")
InceptionResNetV2BlockB(rows, 0.1, output_activation=None)
InceptionBlock([[ConvBN(8, 1)], [keras.layers.MaxPooling2D(3)]])
AuxiliaryClassifier(10, dropout=0.5)
model = VGG16Inception(input_shape=(32, 32, 1), momentum=0.9)
freeze(drop_auxiliary(model), until="block_5_1")
fold_batch_norm(model).summary()
port_torch_weights("weights.safetensors", drop_auxiliary(model)).summary()
preprocess_input([0], InceptionV3, "timm")
for path, layer in iter_layers(model):
    print(path.upper(), layer.name)
"""
WRONG = {
    'ConvBN("eight", 3)': 'Argument 1 to "ConvBN" has incompatible type',
    "InceptionV1Block(5)": 'Argument 1 to "InceptionV1Block" has incomp',
    "InceptionV1Block(rows, momentun=0.5)": 'keyword argument "momentun"',
    'InceptionV3BlockA(rows, count_border="no")': '"count_border"',
    "InceptionResNetV2BlockB(rows)": 'positional argument "residual_scale"',
    "InceptionBlock(3)": 'Argument 1 to "InceptionBlock"',
    'AuxiliaryClassifier("ten")': 'Argument 1 to "AuxiliaryClassifier"',
    "ConvBN(8, 3, padding='full')": 'Argument "padding" to "ConvBN"',
    "drop_auxiliary(3)": 'Argument 1 to "drop_auxiliary"',
    'fold_batch_norm("x")': 'Argument 1 to "fold_batch_norm"',
    "port_torch_weights({}, 2)": 'Argument 2 to "port_torch_weights"',
    "preprocess_input([0], mode='bgr')": 'Argument "mode"',
    "VGG16(no_such_argument=1)": 'keyword argument "no_such_argument"',
    'GoogLeNet(classes="ten")': 'Argument "classes" to "GoogLeNet"',
    "InceptionV3(momentum=[0.9])": 'Argument "momentum" to "InceptionV3"',
    "freeze(3)": 'Argument 1 to "freeze"',
    "extract_features(3)": 'Argument 1 to "extract_features"',
    "freeze(VGG16(), until=3)": 'Argument "until" to "freeze"',
}


@pytest.fixture(scope="module")
def errors(tmp_path_factory):
    """Return the errors of each line of a file with right and wrong lines."""
    lines = [*IMPORTS.splitlines(), *WRONG, *RIGHT.splitlines()]
    path = tmp_path_factory.mktemp("typing") / "user.py"
    path.write_text("\n".join(lines))
    config = path.with_name("mypy.ini")
    config.write_text(
        "[mypy]\nignore_missing_imports = true\nfollow_imports = silent\n"
    )
    shown, problem, _ = mypy.run(
        ["--strict", "--config-file", str(config), str(path)]
    )
    assert not problem
    found: dict[str, list[str]] = {line: [] for line in lines}
    for message in shown.splitlines():
        if ": error: " in message:
            file, number, text = message.split(":", 2)
            assert Path(file).name == "user.py", message
            found[lines[int(number) - 1]].append(text)
    return found


@pytest.mark.slow
def test_right_lines_have_no_error(errors):
    assert not {x: e for x, e in errors.items() if e and x not in WRONG}


@pytest.mark.slow
@pytest.mark.parametrize("line", WRONG)
def test_a_wrong_line_has_one_error(line, errors):
    assert len(errors[line]) == 1
    assert WRONG[line] in errors[line][0]
