"""Run every pass that removes what tf2onnx leaves in a graph."""

from keras_inception_export.formats.onnx.graph import Graph
from keras_inception_export.formats.onnx.passes import (
    channel_arithmetic,
    fold_constants,
    identities,
    reductions,
    reshapes,
)


def simplify(graph: Graph) -> None:
    """Apply every pass until the graph no longer shrinks."""
    count = None
    graph.sort()
    while count != len(graph.nodes):
        count = len(graph.nodes)
        fold_constants.fold_constants(graph)
        channel_arithmetic.fold_channel_arithmetic(graph)
        reductions.permute_reductions(graph)
        reductions.split_reductions(graph)
        reshapes.fix_reshapes(graph)
        identities.remove_identities(graph)
        graph.sort()
