"""Writes what torchvision's networks make of seeded weights.

The tests need neither torch nor torchvision; this needs both, and was run with
torch 2.13.0 and torchvision 0.28.0. From the root:

    python -m tests.porting.data.make_torchvision
"""

import json
from pathlib import Path

import numpy as np
import torch
import torchvision

from tests.seeded import seeded_images, seeded_state


def inception_v3():
    """Write names and shapes of the weights, and the logits of two images."""
    model = torchvision.models.inception_v3(weights=None, init_weights=False)
    tensors = {
        name: list(tensor.shape)
        for name, tensor in model.state_dict().items()
        if tensor.ndim
    }
    state = seeded_state(tensors, tensors.values())
    arrays = {name: torch.from_numpy(x) for name, x in state.items()}
    model.load_state_dict(arrays, strict=False)
    kept = {}
    model.Mixed_6e.register_forward_hook(
        lambda module, inputs, output: kept.update(maps=output)
    )
    model.eval()
    with torch.no_grad():
        images = torch.from_numpy(seeded_images((2, 3, 299, 299)))
        logits = model(images)
        auxiliary = model.AuxLogits(kept["maps"])
    np.savez_compressed(
        Path(__file__).with_name("torchvision_inception_v3.npz"),
        tensors=json.dumps(tensors),
        logits=logits.numpy(),
        auxiliary=auxiliary.numpy(),
    )


if __name__ == "__main__":
    inception_v3()
