"""A block as a table: one row a branch, one cell a layer.

A cell says what a layer is; `PaperBlock` makes the layer, gives it its fixed
name and hands it the block's options. So a row of a paper's figure is a row
of the table:

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
    """One layer of a table, not made yet.

    Args:
        prefix: the layer's name without its number.
        make: called with the layer's name, dtype policy and the block's
            convolution options.
    """

    prefix: str
    make: Callable[[str, Any, dict], keras.layers.Layer]


def conv(filters, kernel_size, **own):
    """A `ConvBN`; `own` arguments go before the block's options."""

    def make(name, dtype, options):
        options = {**fresh_options(options), **own}
        return ConvBN(filters, kernel_size, dtype=dtype, name=name, **options)

    return Cell("conv", make)


def max_pool(pool_size, strides=1, padding="same"):
    """A max pooling, by default one that keeps height and width."""
    return _pool(keras.layers.MaxPooling2D, pool_size, strides, padding)


def avg_pool(pool_size, strides=1, padding="same"):
    """An average pooling; with `"same"` it leaves the border out."""
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
    """Rows and columns of zeros on every side, for whatever comes next."""

    def make(name, dtype, options):
        return keras.layers.ZeroPadding2D(
            padding,
            data_format=options["data_format"],
            dtype=dtype,
            name=name,
        )

    return Cell("pad", make)


def split(*rows):
    """A table within the table: branches side by side, joined again."""

    def make(name, dtype, options):
        return InceptionBlock(
            make_branches(rows, dtype, options),
            data_format=options["data_format"],
            dtype=dtype,
            name=name,
        )

    return Cell("split", make)


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

    A subclass says how many filters each row takes (`row_lengths`) and draws
    the figure (`rows`). What its docstring leaves out, `register` takes from
    here.

    Args:
        branch_filters: one row of filters a branch.
        **kwargs: the arguments of `ConvBN` from `data_format` to
            `bias_constraint`, for every convolution, and those of every
            Keras layer: `name`, `dtype`, `trainable`.

    Output shape:
        The same height and width; as many channels as the last numbers of
        the rows add up to.

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

    def handed_on(self):
        """Return what every layer has, unless it was changed in it."""
        return {**super().handed_on(), "momentum": self.options["momentum"]}

    def rows(self, *filters):
        """Return the table of cells, given each row of `branch_filters`."""
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
    """A table whose second and third row have kernels of a chosen size.

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
    """Return `branch_filters` as tuples, one row of `widths[i]` a branch.

    Raises:
        ValueError: if the rows do not have the expected lengths, or hold
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
            "`branch_filters` must hold one row a branch, in the form "
            f"{expected}. Received: branch_filters={branch_filters!r}"
        )
    return tuple(
        tuple(
            check_positive_integer(f"branch_filters[{i}][{j}]", filters)
            for j, filters in enumerate(row)
        )
        for i, row in enumerate(rows)
    )
