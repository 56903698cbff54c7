"""Choose the inputs of probes, in regimes that expose errors.

A model gets inputs as it does in use, but also mixed signs, large and constant
values, and, where it takes any size, small, odd and unequal ones.
"""

import itertools
import math
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import replace
from functools import partial

import numpy as np

from keras_inception_export.bundle.bundle import EXPECTED, SAMPLES
from keras_inception_export.data.batching import Arrays, count
from keras_inception_export.data.domain import Domain
from keras_inception_export.data.tensor_spec import TensorSpec

BATCH_SIZES = (1, 3, 7)
"""Samples per batch of usual inputs, where the batch size is not fixed."""

UNUSUAL_BATCH = 4
"""Samples of each unusual regime."""

FULL_SIZE = 2**15
"""A sample with more values, such as an image of 105 x 105, costs so much that
there are two usual inputs, in one batch, and unusual ones are single; of
unknown sizes, there is a batch of one more, whose size differs."""

IMAGE_SIZES = (64, 96, 96)
OTHER_SIZES = (8, 12, 12)
"""The size of an unknown axis in each usual batch, for images and for other
inputs. The last two are equal, so that samples of both can be compared."""

FACTORS = (1, 2, 8, 64, 512)
"""How much larger unknown axes may be: the first that the model can compute."""

LARGEST_SAMPLE = 2**17
"""Values of a sample with axes that are larger by a factor."""

MAGNITUDES = (1e3, 1e2, 1e1)
"""How much larger than usual `large` inputs are: the first that the model can
compute. Beyond 88, exp is infinite in float32."""

SIZES = {
    "small size": ((1, 2), (3, 5), (7, 10), (17, 24), (33, 47), (75, 98)),
    "odd size": ((47, 33), (131, 97), (301, 221)),
    "unequal size": ((17, 95), (35, 130), (75, 260)),
}
"""The sizes of unknown axes, in turn: the first that the model can compute."""

LARGEST_UNUSUAL = 2**22
"""Values of a sample of these sizes, except the first of each regime: a volume
of 301 x 221 x 301 would take gigabytes."""

RARE_SIZES = (*range(64, 0, -1), *range(65, 385))
RARE_PAIRS = tuple(itertools.product(range(24, 0, -1), repeat=2))
"""The sizes that are tried, in this order, where usual ones do not fit: for all
unknown axes, and, if there are two, for each. A size of 1 often fits since it
is repeated, and hides more than the one that is meant."""


def regimes(
    specs: Sequence[TensorSpec],
    domains: Mapping[str, Domain],
    samples: Arrays | None = None,
    fitting: Sequence[TensorSpec] | None = None,
) -> Iterator[tuple[str, list[list[Arrays]]]]:
    """Yield each regime with its alternatives, the most exposing one first.

    An alternative is a list of batches. All are the same each time.

    Args:
        specs: the inputs of the model.
        domains: the values that each input takes in use, by name.
        samples: the user's samples; `None` if there are none.
        fitting: the inputs with sizes that fit the model, where those that
            are used otherwise do not.
    """
    generator = np.random.default_rng(0)
    unknown = any(None in spec.shape[1:] for spec in specs)
    usual: tuple[int, ...] = BATCH_SIZES
    unusual = UNUSUAL_BATCH
    full_size = _values(specs, 0) > FULL_SIZE
    if full_size:
        usual, unusual = (1, 2) if unknown else (2,), 1
    fixed = specs[0].shape[0]
    if fixed is not None:
        usual, unusual = (fixed,) * (2 if full_size else len(usual)), fixed

    factors = [1] + [
        factor
        for factor in FACTORS[1:] * (unknown and not fitting)
        if _values(specs, -1, factor) <= LARGEST_SAMPLE
    ]

    feed = partial(_feed, fitting or specs, domains, generator)

    def single(*fills: Callable) -> list[list[Arrays]]:
        return [
            [feed(fill, unusual, factor=factor)]
            for factor in factors
            for fill in fills
        ]

    if not all(np.all(domain.bounded) for domain in domains.values()):
        yield "mixed signs", single(_mixed)
        larger = (partial(_mixed, magnitude=size) for size in MAGNITUDES)
        yield "large", single(*larger)
    yield "constant", single(_constant)
    if unknown:
        for regime, pairs in SIZES.items():
            small = [
                pair
                for pair in pairs
                if _values(specs, -1, sizes=pair) <= LARGEST_UNUSUAL
            ]
            draw = partial(_feed, specs, domains, generator, Domain.draw)
            yield (
                regime,
                [[draw(fixed or 2, sizes=x)] for x in small or pairs[:1]],
            )
    yield (
        EXPECTED,
        [
            [
                feed(Domain.draw, number, index, factor)
                for index, number in enumerate(usual)
            ]
            for factor in factors
        ],
    )
    if samples is not None:
        yield SAMPLES, [list(_repeated(samples, usual))]


def fitting_specs(
    specs: Sequence[TensorSpec], samples: Arrays | None = None
) -> Iterator[list[TensorSpec]]:
    """Yield the inputs with sizes for the unknown axes, likely ones first.

    They are those of the samples, if there are any. Nothing is yielded if
    all sizes are known.
    """
    unknown = sum(spec.shape[1:].count(None) for spec in specs)
    if not unknown:
        return
    if samples is not None:
        shapes = (np.shape(samples[spec.name])[1:] for spec in specs)
        yield [
            replace(spec, shape=(spec.shape[0], *shape))
            for spec, shape in zip(specs, shapes, strict=True)
        ]
        return
    pairs = RARE_PAIRS if unknown == 2 else ()
    for sizes in (*((size,) * unknown for size in RARE_SIZES), *pairs):
        rest = iter(sizes)
        yield [
            replace(spec, shape=(spec.shape[0], *_sized(spec, rest)))
            for spec in specs
        ]


def usual_sample(
    specs: Sequence[TensorSpec], domains: Mapping[str, Domain]
) -> Arrays:
    """Return one batch of usual inputs, of one sample if that is possible."""
    generator = np.random.default_rng(0)
    number = specs[0].shape[0] or 1
    return _feed(specs, domains, generator, Domain.draw, number)


def _feed(
    specs, domains, generator, fill, number, index=-1, factor=1, sizes=None
) -> Arrays:
    """Return a batch of inputs with the values of `fill`."""
    return {
        spec.name: _in_dtype(
            fill(
                domains[spec.name],
                generator,
                _shape(spec, number, index, sizes, factor),
            ),
            spec.dtype,
        )
        for spec in specs
    }


def _values(
    specs: Sequence[TensorSpec], index: int, factor: int = 1, sizes=None
) -> int:
    """Return the number of values of a sample, over all inputs."""
    shapes = (_shape(spec, 1, index, sizes, factor) for spec in specs)
    return sum(math.prod(shape) for shape in shapes)


def _shape(spec, number, index, sizes, factor) -> tuple[int, ...]:
    """Return the shape of a batch; unknown axes take the sizes in turn."""
    if sizes is None:
        default = IMAGE_SIZES if len(spec.shape) == 4 else OTHER_SIZES
        sizes = (default[index] * factor,)
    return number, *_sized(spec, itertools.cycle(sizes))


def _sized(spec: TensorSpec, sizes: Iterator[int]) -> list[int]:
    """Return the sizes of a sample, the unknown ones from an iterator."""
    return [next(sizes) if x is None else x for x in spec.shape[1:]]


def _in_dtype(values: np.ndarray, dtype: str) -> np.ndarray:
    """Return values of a dtype, the nearest that it has."""
    if np.issubdtype(dtype, np.integer):
        limits = np.iinfo(dtype)
        values = values.clip(limits.min, limits.max)
    return values.astype(dtype)


def _mixed(domain: Domain, generator, shape, magnitude=1.0) -> np.ndarray:
    """Return normal values so much larger than usual ones, of both signs."""
    values = domain.reach * generator.normal(size=shape)
    values = domain.fit(generator, values)
    return np.where(domain.bounded, values, magnitude * values)


def _constant(domain: Domain, generator, shape) -> np.ndarray:
    """Return samples of one value each: zero, or one that is never exact."""
    low, high = domain.low, domain.high
    values = [0 * high, 0.731 * high, 0.293 * (low + high), low - 0.391]
    if np.any(domain.integers):
        values = [np.where(domain.integers, high, values[1]), low]
    rows = [values[index % len(values)] for index in range(shape[0])]
    return np.stack([np.broadcast_to(row, shape[1:]) for row in rows])


def _repeated(samples: Arrays, sizes: Sequence[int]) -> Iterator[Arrays]:
    """Yield batches of samples, repeating the samples where necessary."""
    number = count(samples)
    for size, end in zip(sizes, np.cumsum(sizes), strict=True):
        rows = np.arange(end - size, end) % number
        yield {name: array[rows] for name, array in samples.items()}
