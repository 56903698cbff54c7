"""A block as a table: one row per branch, one cell per layer.

A cell describes a layer; `PaperBlock` makes the layer with its fixed name and
the block's options. So a branch of a paper's figure is a row of the table:

    [max_pool(3), conv(32, 1)]
"""

from collections import Counter
from collections.abc import Callable
from typing import Any, NamedTuple

import keras

from keras_inception_layers.layers.conv_bn import (
    ConvBN,
    check_positive_integer,
    fresh_options,
    serialize_options,
    take_options,
)
from keras_inception_layers.layers.inception_block import InceptionBlock


class Cell(NamedTuple):
    """The description of one layer of a table.

    Args:
        prefix: the layer's name without its number.
        make: called with the layer's name, dtype policy and the block's
            convolution options.
    """

    prefix: str
    make: Callable[[str, Any, dict], keras.layers.Layer]


def conv(filters, kernel_size, **own):
    """Return a cell for `ConvBN`; `own` arguments override the block's."""

    def make(name, dtype, options):
        options = {**fresh_options(options), **own}
        return ConvBN(filters, kernel_size, dtype=dtype, name=name, **options)

    return Cell("conv", make)


def max_pool(pool_size, strides=1, padding="same"):
    """Return a cell for max pooling; by default it keeps height and width."""
    return _pool(keras.layers.MaxPooling2D, pool_size, strides, padding)


def avg_pool(pool_size, strides=1, padding="same"):
    """Return a cell for average pooling; `"same"` ignores the border."""
    return _pool(keras.layers.AveragePooling2D, pool_size, strides, padding)


def _pool(layer, *arguments):
    def make(name, dtype, options):
        return layer(
            *arguments,
            data_format=options["data_format"],
            dtype=dtype,
            name=name,
        )

    return Cell("pool", make)


def zero_pad(padding):
    """Return a cell for rows and columns of zeros on every side."""

    def make(name, dtype, options):
        return keras.layers.ZeroPadding2D(
            padding,
            data_format=options["data_format"],
            dtype=dtype,
            name=name,
        )

    return Cell("pad", make)


def parallel(*rows):
    """Return a cell for a nested table: parallel branches, concatenated."""

    def make(name, dtype, options):
        return InceptionBlock(
            make_branches(rows, dtype, options),
            data_format=options["data_format"],
            dtype=dtype,
            name=name,
        )

    return Cell("split", make)  # part of saved weight paths


def make_branches(rows, dtype, options):
    """Make the layers of a table, named `conv_0`, `conv_1`, `pool_0`, ..."""
    branches = []
    for row in rows:
        count: Counter[str] = Counter()
        branch = []
        for prefix, make in row:
            name = f"{prefix}_{count[prefix]}"
            count[prefix] += 1
            branch.append(make(name, dtype, options))
        branches.append(branch)
    return branches


class PaperBlock(InceptionBlock):
    """An `InceptionBlock` whose branches come from a table of filters.

    A subclass defines the number of filters per row (`row_lengths`) and the
    table (`rows`). `register` adds what its docstring leaves out from here.

    Args:
        branch_filters: one row of filters per branch.
        **kwargs: the arguments of `ConvBN` from `data_format` to
            `bias_constraint`, for every convolution, and those of every
            Keras layer: `name`, `dtype`, `trainable`.

    Output shape:
        The same height and width; the number of channels is the sum of the
        last numbers of the rows.

    Raises:
        ValueError: if an argument does not have that form.
    """

    row_lengths: tuple[int, ...] = ()

    def __init__(self, branch_filters, **kwargs):
        filters = check_branch_filters(branch_filters, self.row_lengths)
        options = take_options(kwargs)
        dtype = keras.dtype_policies.get(kwargs.pop("dtype", None))
        super().__init__(
            make_branches(self.rows(*filters), dtype, options),
            data_format=options["data_format"],
            dtype=dtype,
            **kwargs,
        )
        self.branch_filters = filters
        self.options = options

    def inherited_attributes(self):
        """Return the attributes that this layer passes on."""
        return {
            **super().inherited_attributes(),
            "momentum": self.options["momentum"],
        }

    def rows(self, *filters):
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
        """Make the block from what `get_config` returned."""
        return cls(**config)


class KernelSizesBlock(PaperBlock):
    """A table whose second and third row have a configurable kernel size.

    Args:
        kernel_sizes: the n of the second and of the third row. Defaults to
            `(3, 5)`.
    """

    def __init__(self, branch_filters, kernel_sizes=(3, 5), **kwargs):
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


def check_branch_filters(branch_filters, widths):
    """Return `branch_filters` as tuples, with `widths[i]` filters in row i.

    Raises:
        ValueError: if the rows do not have the expected lengths, or contain
            anything but integers of at least 1.
    """
    expected = (
        "("
        + ", ".join(
            "("
            + "int, " * (width - 1)
            + "int"
            + ("," if width == 1 else "")
            + ")"
            for width in widths
        )
        + ")"
    )
    try:
        rows = tuple(tuple(row) for row in branch_filters)
    except TypeError:
        rows = ()
    if tuple(map(len, rows)) != tuple(widths):
        raise ValueError(
            "`branch_filters` must have one row per branch, in the form "
            f"{expected}. Received: branch_filters={branch_filters!r}"
        )
    return tuple(
        tuple(
            check_positive_integer(f"branch_filters[{i}][{j}]", filters)
            for j, filters in enumerate(row)
        )
        for i, row in enumerate(rows)
    )
