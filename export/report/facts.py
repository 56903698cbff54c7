"""What a report is made from, read and checked before anything is written."""

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from keras_inception_export.bundle import bundle
from keras_inception_export.data.metadata import Metadata
from keras_inception_export.data.reading import first_problem, reading
from keras_inception_export.diagnosis.layer_reference import LayerReferences
from keras_inception_export.errors import RequestError, check_regular
from keras_inception_export.formats.registry import artifact_name
from keras_inception_export.report.samples import SampleResults, run_samples


class Latency(BaseModel):
    """A row of a benchmark."""

    model_config = ConfigDict(allow_inf_nan=False)

    name: str
    p50_ms: float = Field(ge=0)
    p90_ms: float = Field(ge=0)
    speed: float = Field(ge=0)
    speed_low: float = Field(ge=0)
    speed_high: float = Field(ge=0)


class Benchmarked(BaseModel):
    """The model of a benchmark."""

    name: str
    parameters: int


class Benchmark(BaseModel):
    """What `benchmark` returned, as far as a report shows it."""

    model: Benchmarked
    machine: dict[str, str | int | None]
    batch_size: int
    threads: int
    rounds: int
    baseline: str
    rows: list[Latency] = Field(min_length=1)
    doubts: list[str] = []


@dataclass(frozen=True)
class Facts:
    """Everything that is known.

    Args:
        folder: the bundle.
        report: its `report.json`.
        references: the layer references, or why there are none.
        metadata: what the artifacts say of themselves, if anything.
        benchmark: the latencies, or why there are none.
        samples: what the artifacts compute on the samples, or why nothing.
    """

    folder: Path
    report: Mapping[str, Any]
    references: LayerReferences | str
    metadata: Metadata | None
    benchmark: Benchmark | str
    samples: SampleResults | str

    @property
    def artifacts(self) -> Sequence[tuple[str, Mapping[str, Any]]]:
        """The name and the entry of each artifact."""
        return [(artifact_name(x), x) for x in self.report["artifacts"]]

    @property
    def labels(self) -> Mapping[str, tuple[str, ...]]:
        """The names of the columns, by output, where they are known."""
        return self.metadata.labels if self.metadata else {}

    def class_name(self, output: str, index: int) -> str:
        """Return the name of a column of an output."""
        names = self.labels.get(output, ())
        return names[index] if 0 <= index < len(names) else f"class {index}"


@bundle.restarted_if_replaced
def gather(folder: Path, samples: Any, benchmark: Any) -> Facts:
    """Read a bundle and what belongs to it, unchanged and fitting."""
    report = bundle.read_report(folder)
    for entry in report["artifacts"]:
        path = folder / entry["path"]
        effect = "there is no report on it"
        bundle.check_unchanged(path, entry["sha256"], effect)
    references: LayerReferences | str = (
        "The bundle has no layer references: an earlier version wrote it."
    )
    if "layer_references" in report:
        path = bundle.published(folder, report, "layer_references")
        references = LayerReferences.load(path)
    known = report.get("metadata")
    metadata = Metadata.from_json(known) if known else None
    results: SampleResults | str = (
        "No samples were given to the report, so the artifacts were not run."
    )
    if samples is not None:
        results = run_samples(folder, report, samples, metadata)
    measured = _benchmark(benchmark, report)
    return Facts(folder, report, references, metadata, measured, results)


def _benchmark(source: Any, report: Mapping[str, Any]) -> Benchmark | str:
    """Return a benchmark of this bundle."""
    if source is None:
        return "No benchmark was given to the report."
    origin = "the benchmark"
    if isinstance(source, (str, Path)):
        path, origin = Path(source), str(source)
        check_regular(path)
        with reading(path, error=RequestError):
            source = json.loads(path.read_text(encoding="utf-8"))
            source = source.get("result", source)  # of `benchmark --json`
    try:
        found = Benchmark.model_validate(source)
    except ValidationError as error:
        raise RequestError(
            f"{origin} is not the result of a benchmark "
            f"({first_problem(error)}); write one with `keras-inception "
            "benchmark --json`"
        ) from None
    model = report["model"]
    if (found.model.name, found.model.parameters) != (
        model["name"],
        model["parameters"],
    ):
        raise RequestError(
            f"{origin} measured the model {found.model.name} with "
            f"{found.model.parameters:,} parameters, but the bundle has "
            f"{model['name']} with {model['parameters']:,}; benchmark this "
            "bundle"
        )
    return found
