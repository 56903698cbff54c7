"""Run every pass that removes what tf2onnx leaves in a graph."""

from keras_inception_export.formats.onnx.graph import Graph
from keras_inception_export.formats.onnx.passes.channel_arithmetic import (
    fold_channel_arithmetic,
)
from keras_inception_export.formats.onnx.passes.fold_constants import (
    fold_constants,
)
from keras_inception_export.formats.onnx.passes.identities import (
    remove_identities,
)
from keras_inception_export.formats.onnx.passes.reductions import (
    permute_reductions,
)
from keras_inception_export.formats.onnx.passes.reshapes import fix_reshapes
from keras_inception_export.formats.onnx.passes.sorting import sort_depth_first


def simplify(graph: Graph) -> None:
    """Apply every pass until the graph no longer shrinks."""
    count = None
    while count != len(graph.nodes):
        count = len(graph.nodes)
        sort_depth_first(graph)
        fold_constants(graph)
        fold_channel_arithmetic(graph)
        permute_reductions(graph)
        fix_reshapes(graph)
        remove_identities(graph)
        graph.prune()
