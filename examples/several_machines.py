"""Train an Inception model on several machines; a lost worker may restart.

Each worker is a process, on its own host or on the same one, and reads its own
shards of scikit-learn's handwritten digits. The workers train one model on JAX:
losses, gradients and batch normalization are computed over the global batch, so
the result is that of one large machine.

    python examples/several_machines.py --coordinator alpha:8476 \
        --processes 2 --process-id 0                      # on the host alpha
    python examples/several_machines.py --coordinator alpha:8476 \
        --processes 2 --process-id 1                      # on another one

Every worker keeps a checkpoint. When one is lost the others stop. Start the
remaining workers again: they continue from the newest checkpoint that any of
them has. Without arguments,

    python examples/several_machines.py

starts two workers on this machine, then one alone, and compares their losses.
"""

import os

os.environ["KERAS_BACKEND"] = "jax"
os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")

import argparse
import shutil
import socket
import subprocess
import sys
import time
from pathlib import Path

import jax
import keras
import numpy as np
from jax.experimental import multihost_utils
from sklearn.datasets import load_digits

from keras_inception_layers import ConvBN, InceptionV1Block, InceptionV3Block

SHARDS = 8  # divided among the workers: 1, 2, 4 or 8 of them
TRAINING, HELD_OUT = 192, 32  # digits in a shard
BATCH_SIZE = 64  # of all workers together
STEPS = SHARDS * TRAINING // BATCH_SIZE  # of an epoch over all digits
LOSSES = "losses.txt"
LOG = "stderr.log"
CHECKPOINT = "digits.keras"


def read_shard(number):
    """Return the images, 16 x 16 x 1, and labels of one shard of the data."""
    digits = load_digits()
    rows = slice(number, SHARDS * (TRAINING + HELD_OUT), SHARDS)
    images = digits.images[rows, :, :, None].astype("float32") / 16
    labels = digits.target[rows].astype("int32")
    return images.repeat(2, axis=1).repeat(2, axis=2), labels


def take(shards, rows):
    """Return the images and labels of the same rows of each shard."""
    images, labels = zip(*shards, strict=True)
    return tuple(
        np.concatenate([part[rows] for part in parts])
        for parts in (images, labels)
    )


def batches(shards, epoch, steps):
    """Yield this worker's part of the first batches of an epoch.

    All workers draw the same order, and every batch has the same number of
    digits of each shard: it does not depend on who reads which.
    """
    order = np.random.default_rng(epoch).permutation(TRAINING)
    for rows in order.reshape(STEPS, -1)[:steps]:
        yield take(shards, rows)


def build_model(epochs, steps):
    """Return the compiled model; its learning rate rises for two epochs."""
    rate = keras.optimizers.schedules.CosineDecay(
        0.0, steps * epochs, warmup_target=5e-3, warmup_steps=2 * steps
    )
    model = keras.Sequential(
        [
            keras.Input((16, 16, 1), name="image"),
            ConvBN(16, 3, momentum=0.9),
            InceptionV1Block(((8,), (12, 16), (4, 8), (8,)), momentum=0.9),
            keras.layers.MaxPooling2D(),
            InceptionV3Block(((16,), (16, 24), (8, 8), (8,)), momentum=0.9),
            keras.layers.GlobalAveragePooling2D(),
            keras.layers.Dense(10, activation="softmax", name="digit"),
        ],
        name="digits",
    )
    model.compile(
        keras.optimizers.Adam(rate),
        "sparse_categorical_crossentropy",
        metrics=["accuracy"],
    )
    model.optimizer.build(model.trainable_variables)
    return model


def variables(model):
    return [*model.variables, *model.optimizer.variables]


def newest_state(path, epochs, steps):
    """Return the newest checkpoint of all workers, and the worker that has it.

    Returns:
        The values of all variables, epochs done, and the worker's number.
    """
    model = (
        keras.models.load_model(path)
        if path.exists()
        else build_model(epochs, steps)
    )
    iterations = int(model.optimizer.iterations)
    values = [keras.ops.convert_to_numpy(x) for x in variables(model)]
    done = multihost_utils.process_allgather(np.array(iterations))
    source = int(done.argmax())
    values = multihost_utils.broadcast_one_to_all(
        values, is_source=jax.process_index() == source
    )
    return values, int(done[source]) // steps, source


def save(model, path):
    """Replace the checkpoint atomically: a worker may be lost at any time."""
    unfinished = path.with_stem("unfinished")
    model.save(unfinished)
    unfinished.replace(path)


def work(arguments, report):
    """Train as one of the workers."""
    count, number = arguments.processes, arguments.process_id
    keras.utils.set_random_seed(0)
    if count > 1:
        report(f"waits for all {count} at {arguments.coordinator}")
        keras.distribution.initialize(arguments.coordinator, count, number)
    mine = range(number, SHARDS, count)
    shards = [read_shard(shard) for shard in mine]
    report(
        f"of {count} on {socket.gethostname()}: reads shards "
        f"{', '.join(map(str, mine))}; {len(shards) * TRAINING} digits to "
        f"train on, {len(shards) * HELD_OUT} held out"
    )
    folder = arguments.output / f"worker_{number}"
    folder.mkdir(parents=True, exist_ok=True)
    path = folder / CHECKPOINT
    epochs, steps = arguments.epochs, arguments.steps
    values, first, source = newest_state(path, epochs, steps)
    if first:
        report(f"continues after epoch {first}, which worker {source} has")

    # Each worker feeds its own part of the batch, so Keras must not shard it.
    distribution = keras.distribution.DataParallel(auto_shard_dataset=False)
    keras.distribution.set_distribution(distribution)
    model = build_model(epochs, steps)
    for variable, value in zip(variables(model), values, strict=True):
        # Placed as the first step leaves it: the second one would otherwise
        # be compiled again.
        layout = distribution.get_variable_layout(variable)
        variable.assign(keras.distribution.distribute_tensor(value, layout))
    if first:
        save(model, path)  # the values may come from another worker

    held_out = take(shards, slice(TRAINING, None))
    for epoch in range(first, epochs):
        start = time.perf_counter()
        losses = []
        with (folder / LOSSES).open("a") as file:
            for images, labels in batches(shards, epoch, steps):
                loss, _ = model.train_on_batch(images, labels)
                step = int(model.optimizer.iterations)
                print(step, repr(float(loss)), file=file)
                losses.append(loss)
        save(model, path)
        _, accuracy = model.test_on_batch(*held_out)
        report(
            f"epoch {epoch + 1} of {epochs}   "
            f"loss {np.mean(losses):.4f}   held out {accuracy:.2%}   "
            f"{time.perf_counter() - start:.1f} s"
        )
    report(f"has the trained model in {path}")


def lost_connection(error):
    """Return whether a worker was lost; JAX has two kinds of error for it."""
    if isinstance(error, ValueError):
        return "Gloo" in str(error)
    return "RESOURCE_EXHAUSTED" not in str(error)


def main():
    parser = argparse.ArgumentParser(
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("--coordinator", help="host:port of worker 0")
    parser.add_argument("--processes", type=int, default=1)
    parser.add_argument("--process-id", type=int)
    parser.add_argument("--epochs", type=int, default=5)
    parser.add_argument(
        "--steps",
        type=int,
        default=STEPS,
        help="of an epoch, at most %(default)s",
    )
    parser.add_argument(
        "--output", type=Path, default=Path("dist/several_machines")
    )
    arguments = parser.parse_args()
    if not 1 <= arguments.steps <= STEPS:
        parser.error(f"--steps {arguments.steps}: expected 1 to {STEPS}")
    count, number = arguments.processes, arguments.process_id
    if number is None and (count, arguments.coordinator) == (1, None):
        show(arguments)
        return
    if count < 1 or SHARDS % count:
        parser.error(
            f"--processes {count}: expected a divisor of the {SHARDS} shards"
        )
    if number not in range(count):
        parser.error(
            f"--process-id {number}: expected 0 to {count - 1}, which of the "
            f"{count} workers this is"
        )
    if count > 1 and not arguments.coordinator:
        parser.error("--processes of more than 1 needs --coordinator host:port")

    def report(text):
        # In one write, because other workers may use the same terminal.
        sys.stdout.write(f"worker {number}  {text}\n")
        sys.stdout.flush()

    try:
        work(arguments, report)
    except (jax.errors.JaxRuntimeError, ValueError) as error:
        if count == 1 or not lost_connection(error):
            raise
        report(f"lost another worker: {str(error).splitlines()[0]}")
        report("start all workers again: they use the newest checkpoint")
        os._exit(1)  # a regular exit would wait for the lost worker


def show(arguments):
    """Run two workers, then one alone, and compare their losses."""
    runs = {}
    for processes in (2, 1):
        folder = arguments.output / f"{processes}_processes"
        shutil.rmtree(folder, ignore_errors=True)
        workers = start_here(processes, arguments, folder)
        if any([worker.wait() for worker in workers]):
            sys.exit(f"a worker failed: {folder / LOG} may say why")
        runs[processes] = read_losses(folder / "worker_0" / LOSSES)
        print()
    print("step    2 processes    1 process    difference")
    for step in sorted(runs[2])[:10]:
        two, one = runs[2][step], runs[1][step]
        print(f"{step:4}    {two:11.8f}  {one:11.8f}       {two - one:+.1e}")
    path = folder / "worker_0" / CHECKPOINT
    print(f"\nNext: keras-inception export {path} --output dist/digits")


def start_here(processes, arguments, folder):
    """Start all workers on this machine; return them."""
    with socket.socket() as free:
        free.bind(("localhost", 0))
        port = free.getsockname()[1]
    command = [sys.executable, __file__, "--output", str(folder)]
    command += ["--epochs", str(arguments.epochs)]
    command += ["--steps", str(arguments.steps)]
    command += ["--coordinator", f"localhost:{port}"]
    command += ["--processes", str(processes), "--process-id"]
    folder.mkdir(parents=True)
    with (folder / LOG).open("w") as log:
        return [
            subprocess.Popen([*command, str(number)], stderr=log)
            for number in range(processes)
        ]


def read_losses(path):
    """Return the loss of each step; the latest one of repeated steps."""
    lines = (line.split() for line in path.read_text().splitlines())
    return {int(step): float(loss) for step, loss in lines}


if __name__ == "__main__":
    main()
