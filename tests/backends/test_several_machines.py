"""Training in several JAX processes, which survives a lost worker."""

import runpy
import shutil
import sys

import keras
import numpy as np
import pytest

import keras_inception_layers  # noqa: F401, registers the layers in the files
from keras_inception_export import verify
from keras_inception_export.cli import main
from tests.helpers.backends.processes import (
    ROOT,
    finish,
    free_port,
    start,
    wait_for,
)
from tests.helpers.numeric import snapshot

SCRIPT = "examples/several_machines.py"
EPOCHS = ("--epochs", 2, "--steps", 6)
CHECKPOINT = "worker_0/digits.keras"
# Absolute, of losses of about 2. Measured: 7.2e-7.
LOSS_TOLERANCE = 1e-5
# Absolute. The operations and their order are the same: measured 0.
WEIGHT_TOLERANCE = 1e-6


@pytest.fixture(scope="module")
def example(tmp_path_factory):
    """The script's own comparison: a run of two workers, and of one."""
    folder = tmp_path_factory.mktemp("example")
    (text,) = finish(start("jax", SCRIPT, *EPOCHS, "--output", folder))
    return folder, text


def losses(path):
    return np.loadtxt(path / "worker_0/losses.txt")[:, 1]


def test_two_processes_have_the_losses_of_one(example, capsys):
    folder, text = example
    with capsys.disabled():
        print("\n" + text[text.index("step ") :])
    two, one = (losses(folder / f"{n}_processes") for n in (2, 1))
    assert len(two) == len(one) == 12
    np.testing.assert_allclose(two[:10], one[:10], rtol=0, atol=LOSS_TOLERANCE)
    assert np.abs(two[1:11] - one[:10]).min() > LOSS_TOLERANCE


def test_the_saved_file_can_be_exported(example, tmp_path):
    path = example[0] / "2_processes" / CHECKPOINT
    words = ["export", path, "--output", tmp_path / "out", "--format", "onnx"]
    assert main([*map(str, words)]) == 0
    assert all(result.passed for result in verify(tmp_path / "out"))


def start_workers(folder):
    command = [SCRIPT, "--coordinator", f"localhost:{free_port()}"]
    command += ["--processes", 2, *EPOCHS, "--output", folder, "--process-id"]
    return [start("jax", *command, number) for number in (0, 1)]


def difference(path, other):
    """Return the largest absolute difference of the weights of two files."""
    pair = (snapshot(keras.saving.load_model(x)) for x in (path, other))
    return max(np.abs(a - b).max() for a, b in zip(*pair, strict=True))


def test_training_resumes_after_a_lost_worker(example, tmp_path):
    first, lost = start_workers(tmp_path)
    wait_for("epoch 1 of 2", lost)
    lost.kill()
    (text,) = finish(first, exit_codes=(1,))
    assert "lost another worker" in text and "start all workers again" in text
    lost.communicate()

    # Its disk is lost too: it receives the state from the remaining worker.
    shutil.rmtree(tmp_path / "worker_1")
    expected = example[0] / "2_processes" / CHECKPOINT
    assert difference(tmp_path / CHECKPOINT, expected) > 100 * WEIGHT_TOLERANCE
    for text in finish(*start_workers(tmp_path)):
        assert "continues after epoch 1, which worker 0 has" in text
    for number in (0, 1):
        path = tmp_path / f"worker_{number}/digits.keras"
        assert difference(path, expected) < WEIGHT_TOLERANCE


def test_a_worker_lost_at_the_end_receives_the_model(example, tmp_path):
    shutil.copytree(example[0] / "2_processes/worker_0", tmp_path / "worker_0")
    for text in finish(*start_workers(tmp_path)):
        assert "continues after epoch 2, which worker 0 has" in text
    path = tmp_path / "worker_1/digits.keras"
    assert difference(path, tmp_path / CHECKPOINT) == 0


@pytest.fixture(scope="module")
def script():
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("KERAS_BACKEND", "jax")  # restores what the script sets
        yield runpy.run_path(str(ROOT / SCRIPT))


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ("--coordinator alpha:8476 --processes 2", "--process-id"),
        ("--processes 2 --process-id 2", "expected 0 to 1"),
        ("--processes 3 --process-id 0", "divisor of the 8 shards"),
        ("--processes 2 --process-id 0", "--coordinator"),
        ("--steps 25", "expected 1 to 24"),
    ],
)
def test_wrong_arguments_are_reported(
    arguments, message, script, monkeypatch, capsys
):
    monkeypatch.setattr(sys, "argv", [SCRIPT, *arguments.split()])
    with pytest.raises(SystemExit) as stop:
        script["main"]()
    assert stop.value.code == 2
    assert message in capsys.readouterr().err.splitlines()[-1]
