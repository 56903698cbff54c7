"""Name the tensors of a TFLite file after Keras layers, and read such names.

TensorFlow's converter names a tensor after the name scopes of the operations
that computed it. The names of fused operations are joined by `;`, the last
operation first:

    hybrid_1/stem_1/Relu;hybrid_1/stem_1/conv_1/convolution

This exporter replaces each scope by the Keras path of its layer:

    stem/Relu;stem/conv/convolution

and names a kernel by the path of its variable, `stem/conv/kernel`. So a
device that has neither Keras nor TensorFlow can identify the layers.
"""

from collections import defaultdict
from collections.abc import Collection, Iterator, Mapping
from typing import Any

import numpy as np

from keras_inception_export.formats.tflite.flatbuffer import Operator, Structure
from keras_inception_export.model.name_scopes import split_scope


def layers_of(name: str, layers: Collection[str]) -> Iterator[str]:
    """Yield each layer that helped to compute a tensor, or whose weight it is.

    The last of several fused layers comes first: the activation, or the
    convolution if the activation is not among `layers`. Of nested layers the
    innermost is yielded.
    """
    for part in name.split(";"):
        while part and part not in layers:
            part = part.rpartition("/")[0]
        if part:
            yield part


def layers_with_kernel(name: str) -> Iterator[str]:
    """Yield the layers whose kernel is the tensor of this name."""
    for path in name.split(";"):
        if layer := path.rpartition("/")[0]:
            yield layer


def keras_name(name: str, scopes: Mapping[str, str]) -> str:
    """Return a tensor's name with name scopes replaced by Keras paths."""
    parts = []
    for part in name.split(";"):
        layer, rest = split_scope(part, scopes)
        if layer is None:
            # Remove the model's own scope, which Keras may have numbered.
            rest = rest.rpartition("/")[2]
        parts.append("/".join(filter(None, (layer, rest))))
    # A part of digits is what the converter adds to make names unique.
    return ";".join(part for part in parts if part and not part.isdigit())


def name_kernels(structure: Structure, model: Any) -> None:
    """Name every kernel by the path of its Keras variable.

    The converter stores equal kernels as one constant, whose name then
    contains all the paths, and multiplies a kernel by factors that follow, with
    their name. A kernel that is no variable, such as the part of one that a
    group of a convolution reads, is named after its layer. The other tensors
    must have Keras names already.
    """
    variables: dict[str, dict[int, str]] = defaultdict(dict)
    for variable in model.variables:
        layer = variable.path.rpartition("/")[0]
        variables[layer].setdefault(int(np.prod(variable.shape)), variable.path)
    found: dict[int, dict[str, None]] = defaultdict(dict)
    for operator, kernel in structure.kernels():
        size = int(np.prod(structure.tensors[kernel].shape))
        name = structure.name_of(kernel)
        layers = [
            layer
            for each in (structure.name_of(operator.outputs[0]), name)
            for layer in layers_of(each, variables)
        ]
        paths = [
            variables[layer][size]
            for layer in layers
            if size in variables[layer]
        ]
        if not paths:
            paths = [
                variable.path
                for variable in model.variables
                if len(variable.shape) > 1
                and np.prod(variable.shape) == size
                and _is_scaled(structure, operator, kernel, variable)
            ]
        own = name.partition(";")[0].rpartition("/")[2]
        paths += [f"{layer}/{own}" for layer in layers]
        found[kernel].update(dict.fromkeys(paths[:1]))
    for kernel, names in found.items():
        if names:
            structure.tensors[kernel].name = ";".join(names)


def _is_scaled(
    structure: Structure, operator: Operator, kernel: int, variable: Any
) -> bool:
    """Return whether a constant is a variable with a factor per filter."""
    import keras

    if not structure.is_float32(kernel):
        return False
    axis = -1 if operator.name.startswith("DEPTHWISE") else 0
    found = np.moveaxis(structure.weights(kernel), axis, -1)
    shape = -1, found.shape[-1]
    found = found.reshape(shape).astype("float64")
    given = keras.ops.convert_to_numpy(variable).reshape(shape)
    product, own, other = (
        (a * b).sum(axis=0)
        for a, b in ((found, given), (found, found), (given, given))
    )
    fits = np.allclose(product**2, own * other, rtol=1e-5, atol=0)
    return bool(fits and product.any())
