"""Decode, batch and run a stream of items; the results keep their order.

Threads decode the next batches, which Pillow does without Python's lock, while
the runtime computes one. Only a few batches are in memory at any time.
"""

import math
import os
from collections import deque
from collections.abc import Callable, Generator, Iterable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from itertools import islice
from typing import Any

import numpy as np

from keras_inception_export.data.batching import BATCH, Arrays, real_outputs
from keras_inception_export.data.domain import unlike
from keras_inception_export.data.items import Item
from keras_inception_export.data.samples import check_array
from keras_inception_export.data.tensor_spec import TensorSpec
from keras_inception_export.errors import (
    ExportError,
    TimeLimitError,
    reason_of,
)
from keras_inception_export.logs import logger

ANY_SIZE_BATCH = 4
"""Samples per call for images of any size."""

BATCH_VALUES, MAX_BATCH = 2**20, 64
"""The values of a larger batch of small samples, and the most samples: the
hybrid, on images of 28 x 28, is a quarter faster with 64 than with 16."""

Feeds = dict[str, np.ndarray]


@dataclass(frozen=True)
class Prediction:
    """What an artifact computed for one item.

    Args:
        name: the name of the file, with an index if it contains several.
        outputs: one array per output, without an axis for the batch; empty
            if there is an error.
        error: why there are no outputs; `None` if there are.
        labels: the names of the classes, for outputs that are known to be
            scores of classes.
    """

    name: str
    outputs: Mapping[str, np.ndarray]
    error: str | None = None
    labels: Mapping[str, Sequence[str]] = field(
        default_factory=dict, repr=False
    )

    def top(
        self, number: int = 3, output: str | None = None
    ) -> list[tuple[int, str | None, float]]:
        """Return the classes with the largest scores: index, label, score.

        Args:
            number: how many. Defaults to 3.
            output: the name of the output. Defaults to `None`: the first one.
        """
        if output is None:
            output = next(iter(self.outputs))
        scores = self.outputs[output]
        labels = self.labels.get(output, ())
        best = np.argsort(-scores.astype("float64"), kind="stable")[:number]
        return [
            (i, labels[i] if len(labels) == len(scores) else None, score)
            for i, score in zip(best.tolist(), scores[best], strict=True)
        ]


@dataclass(frozen=True)
class Pipeline:
    """Predicts items with a runner.

    Args:
        run: computes the outputs of one batch.
        inputs: the inputs of the artifact.
        outputs: its outputs.
        decode: makes the only input of an image; see `Item.content`.
        labels: the names of the classes per output.
        ranges: smallest and largest value of each input in the verification,
            where they are known.
    """

    run: Callable[[Feeds], Arrays]
    inputs: Sequence[TensorSpec]
    outputs: Sequence[TensorSpec]
    decode: Callable[[Any], np.ndarray]
    labels: Mapping[str, Sequence[str]] = field(default_factory=dict)
    ranges: Mapping[str, tuple[float, float]] = field(default_factory=dict)

    @property
    def batch_size(self) -> int:
        """The number of items that are decoded and computed together.

        Images are not resized for an input of any size, and may be large.
        """
        fixed, *sizes = self.inputs[0].shape
        if fixed is not None:
            return -(-BATCH // fixed) * fixed
        values = math.prod(size or 1 for size in sizes)
        if None in sizes:
            return ANY_SIZE_BATCH if len(sizes) > 2 else BATCH
        return min(MAX_BATCH, max(BATCH, BATCH_VALUES // values))

    def __call__(
        self, items: Iterable[Item]
    ) -> Generator[list[Prediction], None, None]:
        """Yield the predictions, batch by batch, in the order of the items."""
        items, size = iter(items), self.batch_size
        workers = os.cpu_count() or 1
        pool = ThreadPoolExecutor(workers)
        pending: deque = deque()
        first = True
        try:
            while True:
                while len(pending) <= workers:
                    part = list(islice(items, size))
                    if not part:
                        break
                    pending.append((part, pool.submit(self._load, part)))
                if not pending:
                    return
                part, future = pending.popleft()
                results, groups = future.result()
                if first and groups:
                    first = False
                    self._warn(groups)
                for rows, feeds in groups:
                    self._compute(part, rows, feeds, results)
                yield results
        finally:
            pool.shutdown(wait=True, cancel_futures=True)

    def _load(self, part):
        """Return results, so far only errors, and rows of one shape each."""
        results: list[Prediction | None] = [None] * len(part)
        samples: dict[tuple, list[tuple[int, Feeds]]] = {}
        for row, item in enumerate(part):
            try:
                sample = self._sample(item)
            except ExportError as error:
                results[row] = _failed(item, error)
                continue
            shapes = tuple(array.shape for array in sample.values())
            samples.setdefault(shapes, []).append((row, sample))
        groups: list[tuple[list[int], Feeds]] = []
        for members in samples.values():
            rows, arrays = zip(*members, strict=True)
            feeds = {
                spec.name: np.concatenate([x[spec.name] for x in arrays])
                for spec in self.inputs
            }
            groups.append((list(rows), feeds))
        return results, groups

    def _sample(self, item: Item) -> Feeds:
        """Return a batch of one item, which fits."""
        content = item.content
        if isinstance(content, ExportError):
            raise content
        if not isinstance(content, Mapping):
            content = {self.inputs[0].name: self.decode(item)}
        return {
            spec.name: check_array(content[spec.name][None], spec, item.name)
            for spec in self.inputs
        }

    def _compute(self, part, rows, feeds, results) -> None:
        """Run one batch; if that fails, one sample at a time."""
        try:
            outputs = real_outputs(self.run, feeds, self.inputs, self.outputs)
        except TimeLimitError:  # one sample would take as long
            raise
        except Exception as error:  # each runtime has its own
            if len(rows) > 1:
                for i, row in enumerate(rows):
                    one = {name: x[i : i + 1] for name, x in feeds.items()}
                    self._compute(part, [row], one, results)
                return
            results[rows[0]] = _failed(
                part[rows[0]],
                f"{part[rows[0]].name} cannot be computed: {reason_of(error)}",
            )
            return
        for i, row in enumerate(rows):
            results[row] = Prediction(
                part[row].name,
                {name: array[i] for name, array in outputs.items()},
                labels=self.labels,
            )

    def _warn(self, groups) -> None:
        """Warn if the first values are unlike those of the verification."""
        for spec in self.inputs:
            if spec.name not in self.ranges or not spec.takes_reals:
                continue
            arrays = [spec.dequantize(feeds[spec.name]) for _, feeds in groups]
            low = min(float(array.min()) for array in arrays)
            high = max(float(array.max()) for array in arrays)
            if unlike((low, high), self.ranges[spec.name]):
                known = "{:.4g} to {:.4g}".format(*self.ranges[spec.name])
                logger.warning(
                    'Warning  "%s" has values from %.4g to %.4g, but was '
                    "verified on %s; check the preprocessing",
                    *(spec.name, low, high, known),
                )


def _failed(item: Item, error: Any) -> Prediction:
    return Prediction(item.name, {}, " ".join(str(error).split()))
