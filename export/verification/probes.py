"""The inputs on which an artifact is verified, and the expected outputs.

`Probes` holds both, and saves them to a file. It needs numpy only.
"""

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field, replace
from itertools import compress
from pathlib import Path
from typing import Any

import numpy as np

from keras_inception_export.bundle.bundle import EXPECTED, SAMPLES, USUAL
from keras_inception_export.data.batching import Arrays, count
from keras_inception_export.data.npz import read_arrays
from keras_inception_export.data.reading import reading
from keras_inception_export.data.tensor_spec import TensorSpec
from keras_inception_export.errors import writing

_PARTS = ("feeds", "reference", "keras")

MAX_COMPRESSED = 2**25
"""Bytes of probes that are compressed."""

LAYER_REFERENCE_INPUTS = 2**16
"""The approximate number of input values for the layer references: one image
of 224 x 224, or all probes of 32 x 32, whose last layers have few positions."""


@dataclass(frozen=True)
class Probes:
    """Inputs in several regimes, and the outputs of Keras on them.

    Args:
        feeds: a few batches, each with one array per input name.
        reference: for each batch, one float64 array per output name.
        keras: the same as Keras computes it in float32.
        regimes: for each batch, why it was chosen: `expected`, `samples`, or
            the name of an unusual range or size.
        unused: for each regime with inputs that could not be used, why.
    """

    feeds: tuple[Arrays, ...]
    reference: tuple[Arrays, ...]
    keras: tuple[Arrays, ...]
    regimes: tuple[str, ...]
    unused: Mapping[str, str] = field(default_factory=dict)

    def by_regime(self) -> dict[str, list[int]]:
        """Return the indices of each regime's batches."""
        found: dict[str, list[int]] = {}
        for index, regime in enumerate(self.regimes):
            found.setdefault(regime, []).append(index)
        return found

    def as_json(self) -> dict[str, Any]:
        """Return how many samples each regime has, and what was not used."""
        return {
            "regimes": {
                regime: sum(count(self.feeds[index]) for index in indices)
                for regime, indices in self.by_regime().items()
            },
            "unused": dict(self.unused),
        }

    def reference_of(self, output: str) -> list[np.ndarray]:
        """Return the reference of one output, for each batch."""
        return [batch[output] for batch in self.reference]

    def only(self, regimes: Collection[str] = ()) -> "Probes":
        """Return the batches of some regimes.

        By default, they are the samples, else the expected inputs. Quantized
        artifacts are compared on these alone, since their ranges were
        calibrated on the samples.
        """
        usual = SAMPLES if SAMPLES in self.regimes else EXPECTED
        regimes = regimes or {usual}
        kept = [name in regimes for name in self.regimes]
        parts: dict[str, Any] = {
            part: tuple(compress(getattr(self, part), kept))
            for part in (*_PARTS, "regimes")
        }
        return replace(self, **parts)

    def singles(self) -> list[Arrays]:
        """Return the inputs of the layer references, one sample per batch.

        Where the batch size is fixed, they are whole batches. All have the
        same shape, and the smaller they are, the more of them there are.
        """

        def shapes(feed):
            return [array.shape[1:] for array in feed.values()]

        usual = self.only().feeds
        feeds: list[Arrays] = [
            feed for feed in usual if shapes(feed) == shapes(usual[-1])
        ]
        if not self.fixed_batch:
            feeds = [
                {name: array[row : row + 1] for name, array in feed.items()}
                for feed in feeds
                for row in range(count(feed))
            ]
        size = sum(array.size for array in feeds[-1].values())
        return feeds[-max(1, LAYER_REFERENCE_INPUTS // size) :]

    def together(self) -> list[Arrays]:
        """Return the inputs of `singles`, in one batch if it is not fixed."""
        feeds = self.singles()
        if self.fixed_batch:
            return feeds
        parts = {name: [feed[name] for feed in feeds] for name in feeds[0]}
        return [{name: np.concatenate(x) for name, x in parts.items()}]

    @property
    def fixed_batch(self) -> int | None:
        """The number of samples per batch; None if the batches differ."""
        counts = set(map(count, self.feeds))
        return counts.pop() if len(counts) == 1 else None

    def save(self, path: str | Path) -> None:
        """Write everything into one `.npz` file."""
        arrays: dict[str, Any] = {
            f"{part}/{index}/{name}": array
            for part in _PARTS
            for index, batch in enumerate(getattr(self, part))
            for name, array in batch.items()
        }
        arrays["regimes"] = np.array(self.regimes, dtype=str)
        arrays["unused"] = np.array(list(self.unused.items()), dtype=str)
        # Compression saves a tenth of random values, at 20 MB per second.
        large = sum(array.nbytes for array in arrays.values()) > MAX_COMPRESSED
        with writing(path):
            (np.savez if large else np.savez_compressed)(path, **arrays)

    @classmethod
    def load(cls, path: str | Path) -> "Probes":
        """Read what `save` wrote; ArtifactError if the file is damaged."""
        with reading(
            Path(path).name,
            "is damaged",
            "nothing can be verified; export the model again",
        ):
            arrays = read_arrays(path)
            regimes = tuple(map(str, arrays.pop("regimes").ravel().tolist()))
            unused = dict(arrays.pop("unused").reshape(-1, 2).tolist())
            parts: dict[str, list[dict]] = {
                part: [{} for _ in regimes] for part in _PARTS
            }
            for key, array in arrays.items():
                part, index, name = key.split("/", 2)
                parts[part][int(index)][name] = array
            probes = cls(
                **{part: tuple(batches) for part, batches in parts.items()},
                regimes=regimes,
                unused=unused,
            )
            probes._check()
            return probes

    def _check(self) -> None:
        """Raise ValueError unless every batch has inputs and outputs."""
        if not set(USUAL) & set(self.regimes):
            raise ValueError("it has no usual inputs")
        for feed, reference, keras in zip(
            self.feeds, self.reference, self.keras, strict=True
        ):
            for batch, first in (
                (feed, self.feeds[0]),
                (reference, self.reference[0]),
                (keras, reference),
            ):
                if not batch or batch.keys() != first.keys():
                    raise ValueError("its batches have different names")
                for name, array in batch.items():
                    is_batch = array.ndim or batch is not feed
                    if array.dtype.kind not in "biuf" or not is_batch:
                        raise ValueError(f"{name} is no batch of numbers")
                    if not array.size or not np.isfinite(array).all():
                        raise ValueError(f"{name} is empty, or not finite")
                    if batch is keras and array.shape != reference[name].shape:
                        raise ValueError(f"{name} has different shapes")
            if len({len(array) for array in feed.values()}) > 1:
                raise ValueError("its inputs differ in number")

    def check_fits(
        self,
        inputs: Sequence[TensorSpec],
        outputs: Sequence[TensorSpec],
        declared: Mapping[str, Any],
    ) -> None:
        """Raise ValueError unless these are the probes of a report.

        It has the inputs and outputs of an artifact, and declares how many
        inputs each regime has, and what is unused.
        """
        for specs, names in (
            (inputs, self.feeds[0]),
            (outputs, self.reference[0]),
        ):
            if {spec.name for spec in specs} != set(names):
                raise ValueError(f"it names {', '.join(names)}")
        for feed in self.feeds:
            for spec in inputs:
                if not spec.fits(feed[spec.name].shape):
                    raise ValueError(
                        f"{spec.name} has the shape {feed[spec.name].shape}"
                    )
        facts = self.as_json()
        if facts != {key: declared[key] for key in facts}:
            raise ValueError(
                "the report has other numbers of inputs, or unused"
            )
