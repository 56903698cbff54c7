"""What `report.json` contains, checked before anything in a bundle is opened.

Unknown keys are allowed, since later versions add some.
"""

from collections.abc import Collection
from typing import Annotated, Any, Self

from pydantic import (
    AfterValidator,
    BaseModel,
    ConfigDict,
    Field,
    ValidationError,
    model_validator,
)

from keras_inception_export.bundle.bundle import REPORT
from keras_inception_export.data.reading import first_problem
from keras_inception_export.data.tensor_spec import TensorSpec
from keras_inception_export.errors import RequestError
from keras_inception_export.formats.registry import FORMATS, SCHEMES

VERSION = 1
"""Increased by a change after which an earlier version cannot read a report."""

MAX_NAME = 255  # bytes of a file's name

DEPTH = 50
"""Objects and lists within each other that a report may have."""


def _one_of(names: Collection[str]) -> AfterValidator:
    def check(name: str) -> str:
        if name not in names:
            raise ValueError(f"'{name}' is none of {', '.join(names)}")
        return name

    return AfterValidator(check)


def _within_the_folder(name: str) -> str:
    too_long = len(name.encode()) > MAX_NAME
    if too_long or name in ("", ".", "..") or set(name) & set("/\\\0"):
        raise ValueError(f"the path '{name[:40]}' leaves the folder")
    return name


Count = Annotated[int, Field(ge=0, lt=2**63)]
Size = Annotated[int, Field(ge=1, lt=2**63)]
Figure = Annotated[float, Field(ge=0)]
Fraction = Annotated[float, Field(ge=0, le=1)]
Name = Annotated[str, Field(min_length=1)]
Sha256 = Annotated[str, Field(pattern="^[0-9a-f]{64}$")]
Confusion = Annotated[list[list[Count]], Field(max_length=100)]
FileName = Annotated[str, AfterValidator(_within_the_folder)]


class _Part(BaseModel):
    model_config = ConfigDict(
        strict=True,
        extra="allow",
        allow_inf_nan=False,
        use_attribute_docstrings=True,
    )


class Exact(_Part):
    """A part that is passed on as arguments, without unknown keys."""

    model_config = ConfigDict(extra="ignore")


class File(_Part):
    """A file of the bundle."""

    path: FileName
    """its name"""
    sha256: Sha256
    """its SHA-256; if it has several files, that of their `sha256sum` list"""


class ProbesFile(File):
    """The probes."""

    regimes: dict[Name, Size]
    """per regime, the number of inputs"""
    unused: dict[str, str]
    """per regime that was not used, the reason"""


class LayerChannels(Exact):
    """The coverage of one layer."""

    layer: str
    """its path"""
    channels: Size
    """the number of its channels"""
    moved: Count
    """those that at least one probe moves"""
    dead: Count = 0
    """those whose weights are all zero"""


class CoverageOfModel(_Part):
    """The coverage."""

    channels: Count
    """the number of channels of layers with weights"""
    moved: Count
    """those that at least one probe moves, so that an output shows it"""
    dead: Count
    """those whose weights are all zero"""
    layers: list[LayerChannels]
    """the same for each layer"""

    @model_validator(mode="after")
    def _is_the_sum(self) -> Self:
        for key in ("channels", "moved", "dead"):
            if getattr(self, key) != sum(getattr(x, key) for x in self.layers):
                raise ValueError(f"{key} is not the sum over the layers")
        return self


class Step(_Part):
    """A layer, a block, or a place where the network splits."""

    name: str = ""
    """its name; empty at a place where the network only splits"""
    type: str = ""
    """its class"""
    detail: str = ""
    """its sizes, as text"""
    shape: list[Count | None] = []
    """the shape of its output"""
    branches: list[list["Step"]] = []
    """its branches, each a list of such steps; joined at the end"""


class ModelFacts(_Part):
    """The model."""

    name: str
    """its name"""
    parameters: Count
    """the number of its parameters"""
    keras_path: str | None
    """the file it was loaded from; null for a model in memory"""
    backend: str = "tensorflow"
    """the Keras backend"""


class EvaluationFacts(_Part):
    """The samples that quantized artifacts are measured on."""

    seed: Count
    """the seed with which the samples were shuffled"""
    calibration: Count
    """the number of samples for calibration"""
    evaluation: Count
    """the number of samples for evaluation"""
    labelled: bool
    """whether the samples have labels"""
    keras_accuracy: dict[str, Fraction | None]
    """per output, the accuracy of Keras"""
    keras_confusion: dict[str, Confusion] = {}
    """per output, the number of samples per label and class from Keras"""
    min_agreement: float
    """the required fraction of samples with the same class as from Keras"""
    max_accuracy_drop: float
    """the allowed drop of the accuracy, as a fraction"""
    warnings: list[str]
    """warnings about the samples and the artifacts"""


class Tensor(Exact):
    """An input or output."""

    name: Name
    """its name"""
    shape: Annotated[list[Count | None], Field(max_length=32)]
    """its shape; null for a free size"""
    dtype: str
    """its NumPy dtype"""
    scale: float | None = None
    """the step of a quantized tensor"""
    zero_point: int = 0
    """the integer that represents 0"""

    @model_validator(mode="after")
    def _is_a_tensor(self) -> Self:
        TensorSpec.from_json(self.model_dump()).check()
        return self


class Parity(_Part):
    """The comparison of an output, in the column nearest to its tolerance."""

    output: Name
    """its name"""
    max_error: Figure | None
    """the largest error, relative to the column's range; null for infinity"""
    rms_error: Figure | None = None
    """the root mean square of the error"""
    keras_max_error: Figure | None = None
    """the error of Keras in float32"""
    tolerance: Figure | None
    """the allowed error"""
    passed: bool
    """whether it is not exceeded"""
    regime: str = ""
    """the regime in which this error was measured"""
    column: int | None = None
    """the index of the column"""
    axis: int | None = None
    """the axis of that index, where axis 0 counts samples; null for the last"""
    column_tolerances: dict[str, Figure] = {}
    """if quantized, the allowed errors of columns; the key is the exponent of 2
    that their range is below, and the axis, if it is not the last: `3 of axis
    1`"""


class Measured(_Part):
    """An output of a quantized artifact, measured on the samples."""

    output: Name
    """its name"""
    snr_db: float
    """the signal-to-noise ratio in dB"""
    column_snr_db: float | None = None
    """the signal-to-noise ratio of the worst column"""
    column: int | None = None
    """the index of the column"""
    axis: int | None = None
    """the axis of that index, where axis 0 counts samples; null for the last"""
    max_error: Figure
    """the largest error, relative to the largest value"""
    agreement: Fraction | None
    """the fraction of samples with the same class as from Keras"""
    accuracy: Fraction | None
    """the fraction of samples with the class of their label"""
    confusion: Confusion | None = None
    """the number of samples per label (row) and predicted class (column)"""
    lost_columns: list[str] = []
    """columns with less than 10 dB that are not judged"""

    @model_validator(mode="after")
    def _has_both(self) -> Self:
        if (self.column is None) != (self.column_snr_db is None):
            raise ValueError("column and column_snr_db need each other")
        return self


class FloatCost(_Part):
    """What layers in float cost."""

    bytes: Annotated[int, Field(gt=-(2**63), lt=2**63)] | float
    """their additional size in bytes"""
    time: float | None
    """the latency, as a multiple of that without them; null if it cannot run
    without them"""


class Artifact(File):
    """An artifact."""

    format: Annotated[str, _one_of(FORMATS)]
    """its format"""
    quantization: Annotated[str, _one_of(SCHEMES)] | None = None
    """its quantization scheme; null for float32"""
    bytes: Count
    """its size in bytes"""
    inputs: Annotated[list[Tensor], Field(min_length=1)]
    """its inputs, in the declared order"""
    outputs: Annotated[list[Tensor], Field(min_length=1)]
    """its outputs"""
    seconds: Figure = 0.0
    """the time for writing it, in seconds"""
    parity: list[Parity]
    """one comparison per output"""
    measured: list[Measured]
    """one measurement per output, if there are samples"""
    equalized_channels: Count
    """the number of channels scaled before int8"""
    float_layers: list[str]
    """the layers that stay in float"""
    float_cost: FloatCost | None
    """what these layers cost; null if there are none"""
    passed: bool = True
    """always true, since a failed export publishes nothing"""

    @model_validator(mode="after")
    def _has_each_output_once(self) -> Self:
        for names in (
            [tensor.name for tensor in self.inputs],
            [tensor.name for tensor in self.outputs],
        ):
            if len(set(names)) != len(names):
                raise ValueError(f"a name of {names} is not unique")
        if sorted(record.output for record in self.parity) != sorted(names):
            raise ValueError(f"parity must have one record per output {names}")
        return self


class Report(_Part):
    """The report."""

    schema_version: Annotated[int, Field(ge=1)] = VERSION
    """the version of this schema"""
    model: ModelFacts
    """the model"""
    structure: list[Step] = []
    """its layers, from the inputs to the outputs"""
    versions: dict[str, str | None]
    """the versions of the packages that were used"""
    metadata: dict[str, Any] | None = None
    """the metadata of each artifact ([format](how_to/preprocessing.md))"""
    probes: ProbesFile
    """the inputs and expected outputs, a file"""
    coverage: CoverageOfModel
    """the channels that the probes move"""
    layer_references: File | None = None
    """the expected outputs of the layers, a file"""
    evaluation: EvaluationFacts | None
    """the samples; null without samples or quantization"""
    artifacts: list[Artifact]
    """the artifacts"""
    passed: bool = True
    """always true, since a failed export publishes nothing"""

    @model_validator(mode="after")
    def _is_consistent(self) -> Self:
        if any(artifact.measured for artifact in self.artifacts):
            if self.evaluation is None:
                raise ValueError("evaluation is missing")
        paths = [artifact.path for artifact in self.artifacts]
        if len(set(paths)) != len(paths):
            raise ValueError("two artifacts have the same path")
        return self


def checked(facts: Any) -> dict[str, Any]:
    """Return a report in which everything has the declared type and range.

    Raises:
        ValueError: with one line that names the key and what is wrong.
        RequestError: if it has no artifacts, or is of a later version.
    """
    _check_depth(facts)
    if isinstance(facts, dict) and facts.get("artifacts") == []:
        raise RequestError(
            f"{REPORT} names no artifact, so there is nothing to open; export "
            "the model again"
        )
    try:
        report = Report.model_validate(facts)
    except ValidationError as error:
        raise ValueError(first_problem(error)) from None
    if report.schema_version > VERSION:
        raise RequestError(
            f"{REPORT} has version {report.schema_version} of its schema, "
            f"expected at most {VERSION}; install a newer "
            "keras-inception-layers"
        )
    return report.model_dump(exclude_unset=True)


def _check_depth(value: Any) -> None:
    """Raise ValueError for what Python could not print again."""
    level = [value]
    for _ in range(DEPTH):
        level = [
            child
            for item in level
            if isinstance(item, (dict, list))
            for child in (item.values() if isinstance(item, dict) else item)
        ]
    if level:
        raise ValueError(f"it is more than {DEPTH} levels deep")
