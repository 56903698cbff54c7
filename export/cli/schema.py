"""The schema of what `--json` prints.

`python -m keras_inception_export.cli.schema` prints it as JSON Schema:
`docs/command_line.schema.json`.
"""

import json
from functools import reduce
from operator import or_
from typing import Any, Literal

from pydantic import BaseModel, ConfigDict, Field, TypeAdapter, create_model

from keras_inception_export.bundle.schema import (
    ModelFacts,
    Parity,
    Report,
    Tensor,
)
from keras_inception_export.cli.output import VERSION


class _Part(BaseModel):
    model_config = ConfigDict(extra="forbid", use_attribute_docstrings=True)


class Failure(_Part):
    """What failed."""

    kind: Literal[
        "UsageError",
        "RequestError",
        "ConversionError",
        "RuntimeMissingError",
        "InputError",
        "ArtifactError",
        "TimeLimitError",
        "Exhausted",
        "Stopped",
        "InternalError",
    ]
    """an exception of the package; UsageError for wrong arguments, Exhausted
    where memory or the disk ran out, Stopped after a signal"""
    message: str
    """one line: what happened, what was expected, what to do"""


class Envelope(_Part):
    """The document of a command."""

    schema_version: Literal[1]
    """increased by a change that breaks readers"""
    command: Any
    """the command; null if none was recognised"""
    ok: bool
    """whether the exit code is 0"""
    exit_code: int
    """the exit code"""
    result: Any
    """the result; null if there is none. There may be one beside an error"""
    error: Failure | None
    """what failed; null if nothing did"""
    next: str | None
    """a command that may be typed next"""


class VerifiedArtifact(_Part):
    """An artifact that was verified."""

    format: str
    quantization: str | None
    """its quantization scheme; null for float32"""
    parity: list[Parity]
    findings: list[str]
    """what is wrong"""
    not_run: str | None
    """why it was not run; null if it was"""
    passed: bool


class Verified(_Part):
    """The result of `verify`."""

    artifacts: list[VerifiedArtifact]
    passed: bool
    """whether at least one artifact was run, and none failed"""


class Layer(_Part):
    """A layer of an artifact."""

    layer: str
    merged: list[str]
    """layers whose outputs the runtime does not show apart from this one's"""
    error: float | None
    """the largest error, relative to the layer's largest value"""
    snr: float | None
    """signal to noise of the median channel in dB"""
    allowed: float | None
    published: float | None
    """the error at publication"""
    change: float | None
    """the difference from the published values"""
    changed_channels: float | None
    """the fraction of channels that are not as published"""
    steps: float | None
    """the change in quantization steps"""
    snr_drop: float | None
    """by how many dB snr is below the lowest before"""
    diverges: bool


class DiagnosedArtifact(_Part):
    """An artifact, layer by layer."""

    format: str
    path: str
    quantization: str | None
    layers: list[Layer]
    first_divergence: str | None
    """the first layer that diverges"""
    not_examined: str | None
    """why it was not examined"""
    passed: bool


class Diagnosed(_Part):
    """The result of `diagnose`."""

    artifacts: list[DiagnosedArtifact]


class Predicted(_Part):
    """The result of `predict`."""

    samples: list[str]
    """the names of the inputs that have a result"""
    outputs: dict[str, list[Any]]
    """per output, one array per sample; null for NaN and infinity"""
    errors: dict[str, str] = {}
    """per input without a result, why"""


class MeasuredRow(_Part):
    """A row of `benchmark`."""

    name: str
    format: str | None
    quantization: str | None
    bytes: int
    p50_ms: float
    """the median time of a call in ms"""
    p90_ms: float
    samples_per_second: float
    speed: float
    """as a multiple of the baseline's"""
    speed_low: float
    """the lower end of its 95 % interval"""
    speed_high: float
    error: float | None
    """the largest relative error on the probes"""
    agreement: float | None
    """the fraction of samples of the same class as from Keras"""
    accuracy: float | None


class Machine(_Part):
    """The machine of a benchmark."""

    processor: str
    cores: int


class Unavailable(_Part):
    """What was not measured."""

    name: str
    reason: str


class Benchmarked(_Part):
    """The result of `benchmark`."""

    bundle: str
    model: ModelFacts
    machine: Machine
    images: bool
    """whether samples are images"""
    batch_size: int
    threads: int
    rounds: int
    seed: int
    baseline: str
    """the row whose speed is 1"""
    rows: list[MeasuredRow]
    not_run: list[Unavailable]
    others_busy: float | None
    """cores that other programs kept busy"""
    doubts: list[str]
    conclusive: bool


class BundleFacts(Report):
    """The result of `info` for a bundle: its report, with a path."""

    path: str
    kind: Literal["bundle"]


class KerasFacts(_Part):
    """The result of `info` for a `.keras` file."""

    model_config = ConfigDict(serialize_by_alias=True, validate_by_name=True)
    path: str
    kind: Literal["keras"]
    name: str
    class_name: str = Field(alias="class")
    bytes: int
    layers: int
    inputs: list[Any]
    keras_version: str
    date_saved: str


class ArtifactFacts(_Part):
    """The result of `info` for an artifact."""

    path: str
    kind: str
    """its format"""
    bytes: int
    sha256: str
    inputs: list[Tensor]
    outputs: list[Tensor]
    metadata: dict[str, Any] | None
    """what it says of itself"""


class Code(_Part):
    """The result of `info --code`."""

    path: str
    language: str
    code: str


class Page(_Part):
    """The result of `report`."""

    path: str
    """the HTML page"""


class Script(_Part):
    """The result of `completion`."""

    shell: str
    script: str


class HelpText(_Part):
    """The result of `help`."""

    text: str


RESULTS: dict[str | None, Any] = {
    "export": Report,
    "verify": Verified,
    "predict": Predicted,
    "benchmark": Benchmarked,
    "diagnose": Diagnosed,
    "report": Page,
    "info": BundleFacts | KerasFacts | ArtifactFacts | Code,
    "completion": Script,
    "help": HelpText,
    None: None,
}
"""Per command, the type of its result."""


def _document(command: str | None, result: Any) -> Any:
    name: Any = Literal[command] if command else None
    return create_model(
        f"{(command or '').title()}Document",
        __base__=Envelope,
        command=(name, ...),
        result=(result | None if result else None, ...),
    )


DOCUMENT: TypeAdapter = TypeAdapter(
    reduce(or_, [_document(*pair) for pair in RESULTS.items()])
)
"""Any document that a command prints."""


def schema() -> dict[str, Any]:
    """Return the JSON Schema of the documents."""
    return {
        "$schema": "https://json-schema.org/draft/2020-12/schema",
        "title": f"keras-inception --json, version {VERSION}",
        **DOCUMENT.json_schema(),
    }


if __name__ == "__main__":
    print(json.dumps(schema()))
