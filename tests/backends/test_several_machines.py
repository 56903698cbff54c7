"""Several processes of JAX: one training, which survives a lost worker."""

import shutil

import keras
import numpy as np
import pytest

import keras_inception_layers  # noqa: F401, registers what the files hold
from keras_inception_export import verify
from keras_inception_export.cli import main
from tests.helpers.backends.processes import finish, free_port, start
from tests.helpers.numeric import snapshot

SCRIPT = "examples/several_machines.py"
EPOCHS = ("--epochs", 2)
CHECKPOINT = "worker_0/digits.keras"
# Absolute, of losses of about 2. Measured: 7.2e-7.
LOSS_TOLERANCE = 1e-5
# The same operations in the same order, so no difference is expected.
WEIGHT_TOLERANCE = 1e-6


@pytest.fixture(scope="module")
def shown(tmp_path_factory):
    """What the script shows by itself: two workers, and one alone."""
    folder = tmp_path_factory.mktemp("shown")
    (text,) = finish(start("jax", SCRIPT, *EPOCHS, "--output", folder))
    return folder, text


def losses(path):
    return np.loadtxt(path / "worker_0/losses.txt")[:, 1]


def test_two_processes_lose_what_one_loses(shown, capsys):
    folder, text = shown
    with capsys.disabled():
        print("\n" + text[text.index("step ") :])
    two, one = (losses(folder / f"{n}_processes") for n in (2, 1))
    assert len(two) == len(one) == 48
    np.testing.assert_allclose(two[:10], one[:10], rtol=0, atol=LOSS_TOLERANCE)
    assert np.abs(two[1:11] - one[:10]).min() > LOSS_TOLERANCE


def test_the_file_is_exported_like_any_other(shown, tmp_path):
    path = shown[0] / "2_processes" / CHECKPOINT
    assert main(["export", str(path), "--output", str(tmp_path / "out")]) == 0
    assert all(result.passed for result in verify(tmp_path / "out"))


def start_workers(folder):
    words = ["--coordinator", f"localhost:{free_port()}", "--processes", 2]
    words += [*EPOCHS, "--output", folder, "--process-id"]
    return [start("jax", SCRIPT, *words, number) for number in (0, 1)]


def difference(path, other):
    """Return the largest difference between the weights of two files."""
    pair = (snapshot(keras.saving.load_model(x)) for x in (path, other))
    return max(np.abs(a - b).max() for a, b in zip(*pair, strict=True))


def test_a_lost_worker_changes_nothing(shown, tmp_path):
    first, lost = start_workers(tmp_path)
    for line in lost.stdout:
        if "epoch 1 of 2" in line:
            break
    lost.kill()
    (text,) = finish(first, exit_codes=(1,))
    assert "lost another worker" in text and "start all workers again" in text
    lost.communicate()

    # Its disk is lost too: it gets everything from the worker that is left.
    shutil.rmtree(tmp_path / "worker_1")
    expected = shown[0] / "2_processes" / CHECKPOINT
    assert difference(tmp_path / CHECKPOINT, expected) > 100 * WEIGHT_TOLERANCE
    for text in finish(*start_workers(tmp_path)):
        assert "goes on after epoch 1, which worker 0 has" in text
    for number in (0, 1):
        path = tmp_path / f"worker_{number}/digits.keras"
        assert difference(path, expected) < WEIGHT_TOLERANCE


def test_a_worker_lost_at_the_end_gets_the_trained_model(shown, tmp_path):
    shutil.copytree(shown[0] / "2_processes/worker_0", tmp_path / "worker_0")
    for text in finish(*start_workers(tmp_path)):
        assert "goes on after epoch 2, which worker 0 has" in text
    path = tmp_path / "worker_1/digits.keras"
    assert difference(path, tmp_path / CHECKPOINT) == 0


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (("--coordinator", "alpha:8476", "--processes", 2), "--process-id"),
        (("--processes", 2, "--process-id", 2), "expected 0 to 1"),
        (("--processes", 3, "--process-id", 0), "divisor of the 8 shards"),
        (("--processes", 2, "--process-id", 0), "--coordinator"),
    ],
)
def test_wrong_arguments_are_told(words, message):
    (text,) = finish(start("jax", SCRIPT, *words), exit_codes=(2,))
    assert message in text.splitlines()[-1]
