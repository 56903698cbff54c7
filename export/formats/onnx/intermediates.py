"""Read the internal tensors of an ONNX artifact as ONNX Runtime computes them.

A file is a protobuf message, and fields appended to a message are merged into
it. So more graph outputs are a few bytes at the end of the file, and reading
needs only numpy and onnxruntime.
"""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path

import numpy as np

from keras_inception_export.data.tensor_spec import quantized_feed
from keras_inception_export.formats.format import importing
from keras_inception_export.formats.onnx.protobuf import fields, message, parse
from keras_inception_export.formats.onnx.runtime import OnnxRunner, open_runner

GRAPH = 7
"""The field of ONNX's ModelProto that contains the graph."""

OUTPUT = 2
"""The field of its NodeProto that contains the name of an output."""

NODE, INITIALIZER, GRAPH_OUTPUT = 1, 5, 12
"""Fields of its GraphProto."""

VALUE_NAME = 1
"""The field of its ValueInfoProto that contains the name."""


class OnnxIntermediates:
    """The internal tensors of the artifact at a path."""

    def __init__(self, path: Path) -> None:
        self._path = path

    def names(self) -> dict[str, str]:
        """Return the tensors that can be read without changing the results.

        ONNX Runtime fuses the nodes between DequantizeLinear and
        QuantizeLinear into one integer operation, but not if something else
        reads a value between them. Such values are left out.

        Returns:
            For each tensor the name of the value that it represents: its own,
            or that of the value that was quantized.

        Raises:
            RuntimeMissingError: the package onnx is not installed.
        """
        with importing("onnx", f"finding the layers of {self._path}"):
            import onnx
        graph = onnx.GraphProto.FromString(
            b"".join(
                message(field, content)
                for field, content in self._graph_fields()
                if field in (NODE, GRAPH_OUTPUT)
            )
        )
        outputs = {value.name for value in graph.output}
        quantized = {
            node.output[0]: node.input[0]
            for node in graph.node
            if node.op_type == "QuantizeLinear"
        }
        found = {
            node.output[0]: quantized[node.input[0]]
            for node in graph.node
            if node.op_type == "DequantizeLinear" and node.input[0] in quantized
        }
        dequantized, unread = set(found), set(quantized.values())
        for node in graph.node:
            if node.op_type in ("QuantizeLinear", "DequantizeLinear"):
                continue
            if not dequantized.isdisjoint(node.input):
                unread.update(node.output)
            for name in node.output:
                if name in outputs or name not in unread:
                    found[name] = name
        return found

    def read(
        self, names: Sequence[str], feeds: Iterable[Mapping[str, np.ndarray]]
    ) -> Iterator[Iterator[tuple[str, np.ndarray]]]:
        """Yield, per feed, the dequantized tensors that have these names.

        Raises:
            RuntimeMissingError: ONNX Runtime is not installed.
            ArtifactError: the file cannot be read.
        """
        runner = self._runner(names)
        specs = [spec for spec in runner.outputs if spec.name in set(names)]
        for feed in feeds:
            fed = quantized_feed(runner.inputs, feed)
            values = runner.run(fed, [spec.name for spec in specs])
            yield ((x.name, x.dequantize(values[x.name])) for x in specs)

    def _runner(self, names: Sequence[str]) -> OnnxRunner:
        """Open the artifact with these tensors as additional outputs."""
        computed, outputs = set(), set()
        for field, content in self._graph_fields():
            if field == GRAPH_OUTPUT:
                outputs.add(dict(parse(content))[VALUE_NAME])
            elif field == NODE:
                computed |= {x for key, x in parse(content) if key == OUTPUT}
        added = b"".join(
            message(GRAPH_OUTPUT, message(VALUE_NAME, name))
            for name in map(str.encode, names)
            if name in computed - outputs
        )
        appended = message(GRAPH, added)
        return open_runner(self._path, appended=appended)

    def _graph_fields(self) -> Iterator[tuple[int, bytes]]:
        """Yield the fields of the file's graph, except the weights."""
        with open(self._path, "rb") as file:
            size = self._path.stat().st_size
            for field, start, length in fields(file, size):
                if field != GRAPH:
                    continue
                file.seek(start)
                for number, offset, count in fields(file, start + length):
                    if number != INITIALIZER:
                        file.seek(offset)
                        yield number, file.read(count)
