"""What a format is: one record, and the interfaces behind it."""

from __future__ import annotations

import importlib
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol

from keras_inception_export.errors import ArtifactError, missing, reason_of
from keras_inception_export.time_limit import limit, within

if TYPE_CHECKING:  # `--help` needs the formats, and must not wait for NumPy
    import numpy as np

    from keras_inception_export.data.metadata import Metadata
    from keras_inception_export.data.tensor_spec import TensorSpec
    from keras_inception_export.formats.quantizer import Quantizer


class Runner(Protocol):
    """An artifact opened by its own runtime.

    `inputs` and `outputs` are in the declared order of the Keras model. It may
    have a method `stop`, which ends a call of `run` in another thread.
    """

    inputs: tuple[TensorSpec, ...]
    outputs: tuple[TensorSpec, ...]

    def run(self, feeds: Mapping[str, np.ndarray]) -> dict[str, np.ndarray]:
        """Compute every output from arrays keyed by input name."""


Specs = tuple[tuple["TensorSpec", ...], tuple["TensorSpec", ...]]
"""The inputs and outputs of an artifact, in the declared order."""


class Intermediates(Protocol):
    """An artifact whose internal tensors can be read."""

    def names(self) -> Mapping[str, str]:
        """Return, per readable tensor, the name of the value it represents."""

    def read(
        self, names: Sequence[str], feeds: Sequence[Mapping[str, np.ndarray]]
    ) -> Iterator[Iterator[tuple[str, np.ndarray]]]:
        """Yield, per feed, the dequantized tensors of these names."""


class _Limited:
    """A runner each of whose calls has a time limit."""

    def __init__(
        self,
        open_runner: Callable[..., Runner],
        path: Path,
        nbytes: int,
        threads: int | None,
    ) -> None:
        self._name, self._nbytes = str(path), nbytes
        self._runner = within(
            limit(nbytes), f"opening {path}", open_runner, path, threads
        )
        self.inputs = self._runner.inputs
        self.outputs = self._runner.outputs

    def run(self, feeds: Mapping[str, np.ndarray]) -> dict[str, np.ndarray]:
        """Compute every output from arrays keyed by input name."""
        rows = max((len(x) for x in feeds.values() if x.ndim), default=1)
        return within(
            limit(self._nbytes, rows),
            f"running {self._name}",
            self._runner.run,
            feeds,
            stop=getattr(self._runner, "stop", lambda: None),
        )


@dataclass(frozen=True)
class Format:
    """Everything the exporter knows about one format.

    Args:
        name: what the command line, reports and tables call it.
        file_name: name of its artifact in a bundle.
        write: `write(inference_model, path, *, opset)` writes an artifact.
        open_runner: `open_runner(path, threads=None)` opens one.
        worker: the module that `write` runs in a child process, which can be
            started ahead; `None` if it needs none.
        attach: `attach(path, text)` adds the text of the metadata, as UTF-8,
            to an artifact that has none.
        attached: `attached(path)` returns that text; `None` if there is none.
        read_specs: `read_specs(path)` returns inputs and outputs without
            running the artifact; `None` if opening it runs nothing.
        suffixes: file name suffixes that identify an artifact.
        marker: the file in it that identifies an artifact that is a folder.
        members: patterns of the files in every artifact that is a folder.
        companions: names of the files that belong to an artifact, with
            `{name}` and `{stem}` for those of the artifact.
        intermediates: `intermediates(path)` opens an artifact's internal
            tensors; `None` if its runtime cannot show them.
        quantizer: `quantizer(inference_model, workdir, *, opset, calibration,
            kernels)` returns a `Quantizer`; `None` if there is none.
        schemes: how the quantizer can quantize.
        fast_quantizer: whether the quantizer writes an artifact in about a
            second, so that the layers of all formats are ranked with it.
        snippets: `snippets()` returns templates of programs by language;
            `None` if there are none.
        default: whether it is written unless formats are named.
        packages: the distributions that write and run it, for reports.
        max_bytes: how large an artifact may be; `None` for any size.
    """

    name: str
    file_name: str
    write: Callable[..., None]
    open_runner: Callable[..., Runner]
    attach: Callable[[Path, bytes], None]
    attached: Callable[[Path], bytes | None]
    worker: str | None = None
    read_specs: Callable[[Path], Specs] | None = None
    suffixes: tuple[str, ...] = ()
    marker: str | None = None
    members: tuple[str, ...] = ()
    companions: tuple[str, ...] = ()
    intermediates: Callable[[Path], Intermediates] | None = None
    quantizer: Callable[..., Quantizer] | None = None
    schemes: tuple[str, ...] = ()
    fast_quantizer: bool = False
    snippets: Callable[[], Mapping[str, str]] | None = None
    default: bool = True
    packages: tuple[str, ...] = ()
    max_bytes: int | None = None

    def artifact_name(self, scheme: str | None = None) -> str:
        """Return the file name of an artifact in a bundle; `None`: float32."""
        path = Path(self.file_name)
        middle = "" if scheme is None else f".{scheme}"
        return f"{path.stem}{middle}{path.suffix}"

    def specs(self, path: Path) -> Specs:
        """Return the inputs and outputs of an artifact, which is not run."""
        if self.read_specs is not None:
            return self.read_specs(path)
        runner = self.open(path)
        return runner.inputs, runner.outputs

    def write_metadata(self, path: Path, metadata: Metadata) -> None:
        """Write what an artifact says of itself into the artifact."""
        self.attach(path, metadata.encoded())

    def read_metadata(self, path: Path) -> Metadata | None:
        """Return what an artifact says of itself, or `None`.

        Raises:
            ArtifactError: if the artifact or its metadata is damaged.
        """
        from keras_inception_export.data.metadata import Metadata

        try:
            content = self.attached(path)
        except Exception as error:  # whatever a damaged file raises
            raise ArtifactError(
                f"{path} is damaged, its metadata cannot be read "
                f"({reason_of(error)}); export the model again"
            ) from error
        return None if content is None else Metadata.decoded(content)

    def open(self, path: Path, threads: int | None = None) -> Runner:
        """Open an artifact with `open_runner`, within a time limit."""
        return _Limited(self.open_runner, path, self.nbytes(path), threads)

    def nbytes(self, path: Path) -> int:
        """Return the size of an artifact, the sum over its files."""
        return sum(file.stat().st_size for file in self.files(path))

    def recognizes(self, path: Path) -> bool:
        """Return whether `path` is an artifact of this format, by its name."""
        if self.marker is not None:
            return (path / self.marker).is_file()
        return path.suffix in self.suffixes

    def has_only_its_files(self, path: Path) -> bool:
        """Return whether a folder has no files but those of an artifact."""
        own = {file for pattern in self.members for file in path.glob(pattern)}
        return all(x in own or x.is_dir() for x in path.rglob("*"))

    def files(self, path: Path) -> list[Path]:
        """Return the files of an artifact: its own, and its companions."""
        if path.is_dir():
            return sorted(file for file in path.rglob("*") if file.is_file())
        companions = (
            path.with_name(name.format(name=path.name, stem=path.stem))
            for name in self.companions
        )
        return [path, *(file for file in companions if file.is_file())]


@contextmanager
def importing(package: str, purpose: object) -> Iterator[None]:
    """Import in the block what a purpose, such as opening a path, needs.

    Raises:
        RuntimeMissingError: it cannot be imported; `package` is named.
    """
    try:
        yield
    except ImportError as error:
        raise missing(str(purpose), package, error) from error


def lazy(target: str) -> Callable[..., Any]:
    """Return the function `"module:name"`, imported when it is called."""
    module, _, name = target.partition(":")

    def call(*args, **kwargs):
        return getattr(importlib.import_module(module), name)(*args, **kwargs)

    return call
