"""Train with torch's DistributedDataParallel in two processes, over gloo.

Each process is started as

    python -m tests.helpers.backends.ddp FILE.npz PORT RANK
"""

import sys

import keras
import torch
import torch.distributed

from tests.helpers.backends.replicas import (
    RATE,
    REPLICAS,
    batches,
    build_model,
    halves,
    part,
    run_of,
    save,
    whole,
)

CASES = ("plain", "norm")


def distributed(case, rank):
    """Yield the run of this process, then the same with averaged statistics."""
    model = build_model(case)
    replica = torch.nn.parallel.DistributedDataParallel(model)
    optimizer = torch.optim.SGD(
        [weight.value for weight in model.trainable_weights], RATE
    )
    losses = []
    for images, labels in batches():
        optimizer.zero_grad()
        outputs = replica(
            keras.ops.convert_to_tensor(part(images, rank)), training=True
        )
        loss = model.compute_loss(y=part(labels, rank), y_pred=outputs)
        loss.backward()
        optimizer.step()
        losses.append(float(mean(loss)))
    yield run_of(model, losses)
    for weight in model.non_trainable_weights:
        weight.assign(mean(weight.value))
    yield run_of(model, losses)


def mean(tensor):
    """Return the mean over all processes."""
    tensor = tensor.detach().clone()
    torch.distributed.all_reduce(tensor)
    return tensor / REPLICAS


def gradients(model, images, labels):
    model.zero_grad()
    loss = model.compute_loss(y=labels, y_pred=model(images, training=True))
    loss.backward()
    return loss.item(), [w.value.grad for w in model.trainable_weights]


def main(path, port, rank):
    rank = int(rank)
    torch.distributed.init_process_group(
        "gloo",
        init_method=f"tcp://localhost:{port}",
        rank=rank,
        world_size=REPLICAS,
    )
    runs = {}
    for case in CASES:
        runs[case], runs[f"{case}/mean"] = distributed(case, rank)
        runs[f"{case}/whole"] = whole(case)
        for replica, run in enumerate(halves(case, gradients)):
            runs[f"{case}/half {replica}"] = run
    save(f"{path}_{rank}.npz", runs)
    torch.distributed.destroy_process_group()


if __name__ == "__main__":
    main(*sys.argv[1:])
