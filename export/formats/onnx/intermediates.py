"""The tensors within an ONNX artifact, as ONNX Runtime computes them.

A file is a protobuf message, and what is appended to a message is merged into
it. So more graph outputs are a few bytes behind the file, and reading needs
numpy and onnxruntime alone.
"""

import io
from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path

import numpy as np

from keras_inception_export.data.tensor_spec import quantized_feed
from keras_inception_export.errors import RuntimeMissingError
from keras_inception_export.formats.onnx.protobuf import fields, message
from keras_inception_export.formats.onnx.runtime import OnnxRunner, open_session

GRAPH = 7
"""The field of ONNX's ModelProto that holds the graph."""

NODE, INITIALIZER, GRAPH_OUTPUT = 1, 5, 12
"""Fields of its GraphProto."""

VALUE_NAME = 1
"""The field of its ValueInfoProto that holds the name."""


class OnnxIntermediates:
    """The internal tensors of one artifact.

    Args:
        path: the artifact.
    """

    def __init__(self, path: Path) -> None:
        self._path = path

    def names(self) -> dict[str, str]:
        """Return the tensors that can be read without changing the numbers.

        ONNX Runtime merges the steps between QuantizeLinear and DequantizeLinear
        into one integer operation, and no longer does where something else reads
        between them. What it would have to open for is left out.

        Returns:
            For each tensor the name of the one that it stands for: itself, or
            what was quantized.

        Raises:
            RuntimeMissingError: the package onnx is not installed.
        """
        try:
            import onnx
        except ImportError as error:
            raise RuntimeMissingError(
                f"finding the layers of {self._path} needs the package onnx, which is "
                "not installed; pip install onnx"
            ) from error
        graph = onnx.GraphProto.FromString(
            b"".join(
                message(field, content)
                for field, content in _graph_fields(self._path)
                if field in (NODE, GRAPH_OUTPUT)
            )
        )
        producers = {out: node for node in graph.node for out in node.output}
        found, dequantized, quantized = {}, set(), set()
        for node in graph.node:
            if node.op_type == "QuantizeLinear":
                quantized.add(node.input[0])
            if node.op_type == "DequantizeLinear":
                source = producers.get(node.input[0])
                if source is not None and source.op_type == "QuantizeLinear":
                    found[node.output[0]] = source.input[0]
                    dequantized.add(node.output[0])
        outputs = {value.name for value in graph.output}
        for node in graph.node:
            if node.op_type in ("QuantizeLinear", "DequantizeLinear"):
                continue
            inside = not dequantized.isdisjoint(node.input)
            for name in node.output:
                if name in outputs or not (inside or name in quantized):
                    found[name] = name
        return found

    def read(
        self, names: Sequence[str], feeds: Iterable[Mapping[str, np.ndarray]]
    ) -> Iterator[Iterator[tuple[str, np.ndarray]]]:
        """Yield, per feed, the dequantized tensors of these names.

        Args:
            names: names of tensors.
            feeds: arrays by input name.

        Raises:
            RuntimeMissingError: ONNX Runtime is not installed.
            ArtifactError: the file cannot be read, or has no such tensors.
        """
        runner = self._runner(names)
        for feed in feeds:
            values = runner.run(quantized_feed(runner.inputs, feed), names)
            yield (
                (spec.name, spec.dequantize(values[spec.name]))
                for spec in runner.outputs
                if spec.name in values
            )

    def _runner(self, names: Sequence[str]) -> OnnxRunner:
        """Open the artifact with these tensors as further outputs."""
        outputs = {
            value
            for field, content in _graph_fields(self._path)
            if field == GRAPH_OUTPUT
            for number, value in _fields(content)
            if number == VALUE_NAME
        }
        more = b"".join(
            message(GRAPH_OUTPUT, message(VALUE_NAME, name))
            for name in map(str.encode, names)
            if name not in outputs
        )
        return OnnxRunner(
            open_session(self._path, appended=message(GRAPH, more))
        )


def _graph_fields(path: Path) -> Iterator[tuple[int, bytes]]:
    """Yield the fields of a file's graph, but for the weights."""
    with open(path, "rb") as file:
        size = path.stat().st_size
        for field, start, length in fields(file, size):
            if field != GRAPH:
                continue
            file.seek(start)
            for number, at, count in fields(file, start + length):
                if number != INITIALIZER:
                    file.seek(at)
                    yield number, file.read(count)


def _fields(content: bytes) -> Iterator[tuple[int, bytes]]:
    for number, start, length in fields(io.BytesIO(content), len(content)):
        yield number, content[start : start + length]
