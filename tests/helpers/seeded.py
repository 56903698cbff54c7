"""Weights generated from their names, equal in any framework."""

from pathlib import Path
from zlib import crc32

import numpy as np

# Outputs of other libraries' networks with these weights.
DATA = Path(__file__).parent / "data"


def seeded_tensor(name, shape, shift=0.05):
    """Return the tensor of a given name, in torch's layout.

    Small shifts and means keep the activations of a deep network in range, and
    a large classifier kernel makes logits as large as a trained network's.

    Args:
        name: torch's name of the tensor, the seed of its values.
        shape: torch's shape of the tensor.
        shift: scale of the shifts and means. Defaults to `0.05`.
    """
    rng = np.random.default_rng(crc32(name.encode()))
    if name.endswith("running_var"):
        return rng.uniform(0.5, 2.0, shape).astype("float32")
    value = rng.standard_normal(shape, dtype="float32")
    if len(shape) > 1:
        gain = 16 if name.endswith("fc.weight") else 1
        return value * np.float32(gain * np.sqrt(2 / np.prod(shape[1:])))
    if name.endswith("bn.weight"):
        return 1 + np.float32(0.2) * value
    return np.float32(shift) * value


def seeded_state(names, shapes):
    """Return a state dict with one seeded tensor per name."""
    return {
        name: seeded_tensor(name, tuple(shape))
        for name, shape in zip(names, shapes, strict=True)
    }


def seeded_images(shape, seed=0):
    """Return smooth images between -1 and 1, channels first."""
    rng = np.random.default_rng(seed)
    coarse = rng.uniform(-1, 1, (*shape[:2], 10, 10)).astype("float32")
    grid = [np.arange(n) * 10 // n for n in shape[2:]]
    return coarse[:, :, grid[0]][:, :, :, grid[1]]
