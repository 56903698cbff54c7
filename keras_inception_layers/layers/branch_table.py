"""Define a block as a table: one row per branch, one cell per layer.

A cell describes a layer. `PaperBlock` creates the layers, gives each its fixed
name and passes the block's options on to it. A branch in a paper's figure is
thus one row of the table:

    [max_pool(3), conv(32, 1)]
"""

from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from typing import Any, NamedTuple, Unpack

import keras

from keras_inception_layers.layers.conv_bn import (
    ConvBN,
    check_positive_integer,
    split_options,
)
from keras_inception_layers.layers.conv_options import (
    ConvOptions,
    clone_initializers,
    serialize_options,
)
from keras_inception_layers.layers.inception_block import InceptionBlock

BranchFilters = Sequence[Sequence[int]]
"""The argument `branch_filters`: a row of numbers of filters per branch."""


class Cell(NamedTuple):
    """A description of one layer of a table.

    Args:
        kind: what the layer's name calls it, as in `branch_1_conv_0`. It is
            part of the weight paths in saved files and must never change.
        make: function of the layer's name, its dtype policy and the block's
            convolution options that returns the layer.
    """

    kind: str
    make: Callable[[str, Any, Mapping[str, Any]], keras.layers.Layer]


def conv(filters, kernel_size, **overrides):
    """Return a cell for a `ConvBN`; `overrides` replace the block's options."""

    def make(name, dtype, options):
        options = {**clone_initializers(options), **overrides}
        return ConvBN(filters, kernel_size, dtype=dtype, name=name, **options)

    return Cell("conv", make)


def max_pool(pool_size, strides=1, padding="same"):
    """Return a cell for a max pooling, by default one that keeps the size."""
    pooling = keras.layers.MaxPooling2D
    return keras_cell("pool", pooling, pool_size, strides, padding)


def avg_pool(pool_size, strides=1, padding="same"):
    """Return a cell for an average pooling.

    With `"same"` padding the border is not counted in the mean.
    """
    pooling = keras.layers.AveragePooling2D
    return keras_cell("pool", pooling, pool_size, strides, padding)


def keras_cell(kind, layer, *arguments):
    """Return a cell for a layer of Keras that has no weights."""

    def make(name, dtype, options):
        return layer(
            *arguments,
            data_format=options["data_format"],
            dtype=dtype,
            name=name,
        )

    return Cell(kind, make)


def reducing_conv(filters):
    """Return a cell for a 3 x 3 convolution that halves height and width."""
    return conv(filters, 3, strides=2, padding="valid")


def reducing_pool():
    """Return a cell for a 3 x 3 max pooling that halves height and width."""
    return max_pool(3, 2, "valid")


def zero_pad(padding):
    """Return a cell that adds rows and columns of zeros on every side."""
    return keras_cell("pad", keras.layers.ZeroPadding2D, padding)


def parallel(*rows):
    """Return a cell for a nested table: parallel branches, concatenated."""

    def make(name, dtype, options):
        return InceptionBlock(
            make_branches(rows, dtype, options, f"{name}_"),
            data_format=options["data_format"],
            dtype=dtype,
            name=name,
        )

    return Cell("split", make)


def make_branches(rows, dtype, options, prefix=""):
    """Create the layers of a table: `branch_0_conv_0`, `branch_0_conv_1`, ...

    No two layers of a block have the same name, those of nested tables
    included (`prefix`): a block can thus be opened, and its layers be used in
    a Functional model.
    """
    branches = []
    for number, row in enumerate(rows):
        count: Counter[str] = Counter()
        branch = []
        for kind, make in row:
            name = f"{prefix}branch_{number}_{kind}_{count[kind]}"
            count[kind] += 1
            branch.append(make(name, dtype, options))
        branches.append(branch)
    return branches


class PaperBlock(InceptionBlock):
    """An `InceptionBlock` whose branches are made from a table of filters.

    A subclass sets the number of filters in each row (`row_lengths`) and
    returns the table of cells from `_rows`.
    """

    row_lengths: tuple[int, ...] = ()

    def __init__(
        self, branch_filters: BranchFilters, **kwargs: Unpack[ConvOptions]
    ) -> None:
        filters = check_branch_filters(branch_filters, self.row_lengths)
        options, layer_options = split_options(kwargs)
        dtype = keras.dtype_policies.get(layer_options.pop("dtype", None))
        super().__init__(
            make_branches(self._rows(*filters), dtype, options),
            data_format=options["data_format"],
            dtype=dtype,
            **layer_options,
        )
        self.branch_filters = filters
        self.options = options

    def _rows(self, *filters):
        """Return the table of cells, given the rows of `branch_filters`."""
        raise NotImplementedError

    def get_config(self):
        """Return the constructor's arguments."""
        config = super().get_config()
        del config["branches"]
        return {
            **serialize_options(self.options),
            **config,
            "branch_filters": self.branch_filters,
        }

    @classmethod
    def from_config(cls, config):
        """Create the block from what `get_config` returned."""
        return cls(**config)


class KernelSizesBlock(PaperBlock):
    """A `PaperBlock` with an argument for two kernel sizes.

    They are those of the second and the third row.
    """

    def __init__(
        self,
        branch_filters: BranchFilters,
        kernel_sizes: Sequence[int] = (3, 5),
        **kwargs: Unpack[ConvOptions],
    ) -> None:
        if not isinstance(kernel_sizes, (list, tuple)) or (
            len(kernel_sizes) != 2
        ):
            raise ValueError(
                "`kernel_sizes` must be a pair of integers. Received: "
                f"kernel_sizes={kernel_sizes!r}"
            )
        self.kernel_sizes = tuple(
            check_positive_integer(f"kernel_sizes[{i}]", size)
            for i, size in enumerate(kernel_sizes)
        )
        super().__init__(branch_filters, **kwargs)

    def get_config(self):
        """Return the constructor's arguments."""
        return {**super().get_config(), "kernel_sizes": self.kernel_sizes}


def check_branch_filters(branch_filters, row_lengths):
    """Return `branch_filters` as a tuple of tuples, or raise a ValueError."""
    form = ", ".join(
        f"({', '.join(['int'] * length)}{',' * (length == 1)})"
        for length in row_lengths
    )
    try:
        rows = tuple(tuple(row) for row in branch_filters)
    except TypeError:
        rows = ()
    if tuple(map(len, rows)) != tuple(row_lengths):
        raise ValueError(
            "`branch_filters` must have one row per branch, in the form "
            f"({form}). Received: branch_filters={branch_filters!r}"
        )
    return tuple(
        tuple(
            check_positive_integer(f"branch_filters[{i}][{j}]", filters)
            for j, filters in enumerate(row)
        )
        for i, row in enumerate(rows)
    )
