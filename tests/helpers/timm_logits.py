"""Write data/timm_logits.npz: tensor names, shapes and logits of timm.

The tests read that file and need none of timm 1.0.31, torch and torchvision,
which this script needs. Run it from the root of the repository:

    python -m tests.helpers.timm_logits
"""

from functools import partial

import numpy as np

from tests.helpers import seeded

NETWORKS = ("inception_v4", "inception_resnet_v2")
SIZES = (224, 299)
FILE = seeded.DATA / "timm_logits.npz"

seeded_tensor = partial(seeded.seeded_tensor, shift=0.3)


def seeded_images(size):
    """Return one square image, channels last."""
    rng = np.random.default_rng(1)
    return rng.standard_normal((1, size, size, 3), dtype="float32")


def main():
    """Run timm's networks with seeded weights and write their logits."""
    import timm
    import torch

    contents = {}
    for network in NETWORKS:
        model = timm.create_model(network).eval()
        shapes = {
            name: tuple(tensor.shape)
            for name, tensor in model.state_dict().items()
            if not name.endswith("num_batches_tracked")
        }
        tensors = {
            name: torch.from_numpy(seeded_tensor(name, shape))
            for name, shape in shapes.items()
        }
        assert not model.load_state_dict(tensors, strict=False).unexpected_keys
        contents[f"{network}_names"] = list(shapes)
        contents[f"{network}_shapes"] = [str(x) for x in shapes.values()]
        for size in SIZES:
            images = seeded_images(size).transpose(0, 3, 1, 2)
            with torch.no_grad():
                logits = model(torch.from_numpy(images.copy()))
            contents[f"{network}_{size}"] = logits.numpy()
    np.savez_compressed(FILE, **contents)


if __name__ == "__main__":
    main()
