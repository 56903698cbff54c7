"""Build TFLite models by hand, without Keras and TensorFlow."""

import flatbuffers
import numpy as np
from ai_edge_litert import schema_py_generated as schema

_TYPES = {
    "float32": schema.TensorType.FLOAT32,
    "float16": schema.TensorType.FLOAT16,
    "int8": schema.TensorType.INT8,
}


def tflite_model(tensors, operators, inputs, outputs):
    """Return the bytes of a TFLite file.

    Args:
        tensors: for each name the shape of a float32 tensor, in which `None`
            is any length, or the array that is a constant.
        operators: (name in TFLite's schema, names of the tensors that it reads,
            name of the tensor that it computes); `None` is an omitted input.
        inputs: names of the input tensors, also in the signature.
        outputs: the same for the outputs.
    """
    index = {name: number for number, name in enumerate(tensors)} | {None: -1}
    model, graph = schema.ModelT(), schema.SubGraphT()
    signature = schema.SignatureDefT()
    model.version, model.subgraphs = 3, [graph]
    model.signatureDefs = [signature]
    model.buffers, model.operatorCodes = [schema.BufferT()], []
    graph.name, graph.tensors, graph.operators = "main", [], []
    for name, value in tensors.items():
        tensor = schema.TensorT()
        tensor.name, tensor.shape, tensor.buffer = name, np.shape(value), 0
        if isinstance(value, tuple):
            tensor.shape = [length or 1 for length in value]
            tensor.shapeSignature = [length or -1 for length in value]
        else:
            tensor.type = _TYPES[value.dtype.name]
            tensor.buffer = len(model.buffers)
            model.buffers.append(schema.BufferT())
            model.buffers[-1].data = np.frombuffer(value.tobytes(), np.uint8)
        graph.tensors.append(tensor)
    for name, reads, computes in operators:
        code, operator = schema.OperatorCodeT(), schema.OperatorT()
        code.builtinCode = getattr(schema.BuiltinOperator, name)
        operator.opcodeIndex = len(model.operatorCodes)
        operator.inputs = [index[read] for read in reads]
        operator.outputs = [index[computes]]
        model.operatorCodes.append(code)
        graph.operators.append(operator)
    graph.inputs, signature.inputs = _entries(inputs, index)
    graph.outputs, signature.outputs = _entries(outputs, index)
    signature.signatureKey = "serving_default"
    builder = flatbuffers.Builder()
    builder.Finish(model.Pack(builder), file_identifier=b"TFL3")
    return bytes(builder.Output())


def _entries(names, index):
    entries = []
    for name in names:
        entry = schema.TensorMapT()
        entry.name, entry.tensorIndex = name, index[name]
        entries.append(entry)
    return [index[name] for name in names], entries
