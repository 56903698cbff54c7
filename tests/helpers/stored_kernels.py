"""Read the kernels that TFLite and ONNX artifacts contain."""

import numpy as np
import onnx
from ai_edge_litert.interpreter import Interpreter


def stored_kernels(path):
    """Return the kernels in a file, as they are stored, keyed by their name.

    A quantized kernel is an array of integers.
    """
    if path.suffix == ".tflite":
        interpreter = Interpreter(str(path))
        return {
            details["name"]: np.array(interpreter.get_tensor(details["index"]))
            for details in interpreter.get_tensor_details()
            if details["name"].endswith("/kernel")
        }
    kernels = {}
    for tensor in onnx.load(path).graph.initializer:
        layer, kernel, _ = tensor.name.partition("/kernel")
        if kernel and len(tensor.dims) > 1:
            kernels[layer + kernel] = onnx.numpy_helper.to_array(tensor)
    return kernels


def keras_order(kernel, path):
    """Return a kernel of a convolution with its axes in Keras's order."""
    if path.suffix == ".tflite":
        return np.moveaxis(kernel, 0, -1)
    return np.moveaxis(kernel, (0, 1), (-1, -2))
