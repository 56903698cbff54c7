"""Replicas of TensorFlow and torch, compared with training in one process.

Without batch normalization, or with synchronized statistics, replicas train as
one process does. Otherwise each replica normalizes its own part of the batch,
and the results are those of `replicas.halves`.
"""

import numpy as np
import pytest

from tests.helpers.backends.processes import finish, free_port, start
from tests.helpers.backends.replicas import REPLICAS, load

# Absolute. Measured: losses 3.6e-7, weights 2.4e-7; where the results must
# differ, at least 9e-3.
TOLERANCE = 1e-5


def difference(run, other, *parts):
    gaps = [
        np.abs(np.subtract(getattr(run, part), getattr(other, part)))
        for part in parts or run._fields
    ]
    return max(gap.max(initial=0) for gap in gaps)


@pytest.fixture(scope="module")
def mirrored(tmp_path_factory):
    path = tmp_path_factory.mktemp("mirrored") / "runs.npz"
    finish(start("tensorflow", "-m", "tests.helpers.backends.mirrored", path))
    return load(path)


@pytest.mark.parametrize("case", ("plain", "synchronized"))
def test_mirrored_replicas_equal_one_process(case, mirrored):
    assert difference(mirrored[case], mirrored[f"{case}/whole"]) < TOLERANCE


def test_mirrored_replicas_normalize_their_own_part(mirrored):
    run = mirrored["norm"]
    assert difference(run, mirrored["norm/whole"], "losses") > 100 * TOLERANCE
    # The saved statistics are those of the first replica.
    assert difference(run, mirrored["norm/half 0"]) < TOLERANCE
    other = mirrored["norm/half 1"]
    assert difference(run, other, "statistics") > 100 * TOLERANCE


@pytest.fixture(scope="module")
def ddp(tmp_path_factory):
    """One dictionary of runs per process."""
    path = tmp_path_factory.mktemp("ddp") / "runs"
    command = ("-m", "tests.helpers.backends.ddp", path, free_port())
    finish(*(start("torch", *command, rank) for rank in range(REPLICAS)))
    return [load(f"{path}_{rank}.npz") for rank in range(REPLICAS)]


def test_ddp_without_batch_norm_equals_one_process(ddp):
    for runs in ddp:
        assert difference(runs["plain"], runs["plain/whole"]) < TOLERANCE


def test_ddp_replicas_normalize_their_own_part(ddp):
    for rank, runs in enumerate(ddp):
        run = runs["norm"]
        assert difference(run, runs["norm/whole"], "losses") > 100 * TOLERANCE
        assert difference(run, runs[f"norm/half {rank}"]) < TOLERANCE
    gap = difference(ddp[0]["norm"], ddp[1]["norm"], "statistics")
    assert gap > 100 * TOLERANCE
    assert difference(ddp[0]["norm/mean"], ddp[1]["norm/mean"]) < TOLERANCE
