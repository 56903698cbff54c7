"""Write data/torchvision_*.npz: outputs of torchvision with seeded weights.

The tests read these files and need neither torch nor torchvision. This script
needs both and was run with torch 2.13.0 and torchvision 0.28.0. Run it from the
root of the repository:

    python -m tests.helpers.make_torchvision
"""

import json

import numpy as np
import torch
import torchvision

from tests.helpers.seeded import DATA, seeded_images, seeded_state


def write(name, model, heads, other_sizes=()):
    """Write the names and shapes of the weights and the network's outputs.

    Args:
        name: name of the network, which is part of the file's name.
        model: torchvision's network.
        heads: from our name of each side head to its module and the module
            whose feature maps it reads. torchvision runs them in training only.
        other_sizes: heights and widths of further images, of which only the
            logits are written.
    """
    tensors = {
        name: list(tensor.shape)
        for name, tensor in model.state_dict().items()
        if tensor.ndim
    }
    state = seeded_state(tensors, tensors.values())
    arrays = {name: torch.from_numpy(x) for name, x in state.items()}
    model.load_state_dict(arrays, strict=False)
    model.eval()
    outputs = {}
    with torch.no_grad():
        # Before the hooks of the side heads, which do not accept every size.
        for size in other_sizes:
            image = torch.from_numpy(seeded_images((1, 3, *size)))
            outputs["{}x{}".format(*size)] = model(image)
        for head, (module, source) in heads.items():
            getattr(model, source).register_forward_hook(
                lambda _, inputs, maps, head=head, module=module: (
                    outputs.update({head: getattr(model, module)(maps)})
                )
            )
        size = SIZES[name]
        images = torch.from_numpy(seeded_images((2, 3, size, size)))
        outputs["logits"] = model(images)
    np.savez_compressed(
        DATA / f"torchvision_{name}.npz",
        tensors=json.dumps(tensors),
        **{key: output.numpy() for key, output in outputs.items()},
    )


SIZES = {"googlenet": 224, "inception_v3": 299}

if __name__ == "__main__":
    write(
        "inception_v3",
        torchvision.models.inception_v3(weights=None, init_weights=False),
        {"auxiliary": ("AuxLogits", "Mixed_6e")},
        other_sizes=[(224, 224)],
    )
    write(
        "googlenet",
        torchvision.models.googlenet(weights=None, init_weights=False),
        {
            "auxiliary_1": ("aux1", "inception4a"),
            "auxiliary_2": ("aux2", "inception4d"),
        },
        other_sizes=[(195, 230), (299, 299)],
    )
