"""Estimate what an export needs, refuse what cannot fit, and release memory.

Without this, the system kills the process where memory runs out, minutes after
the start, and a full disk is noticed at the end.
"""

import contextlib
import ctypes
import gc
import os
import shutil
import sys
import zipfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any, NamedTuple

from keras_inception_export.bundle.publication import parent_of
from keras_inception_export.data.reading import WEIGHTS, stored_file
from keras_inception_export.errors import RequestError, check_regular
from keras_inception_export.formats.registry import FORMATS
from keras_inception_export.formats.schemes import PREPARED_SCHEME
from keras_inception_export.options import ExportOptions

BYTES = 4
"""Size of a parameter in float32."""

LIBRARIES, ADDRESSES = 0.3e9, 2.6e9
"""Memory of the libraries, and the addresses that they reserve, in bytes."""


class Cost(NamedTuple):
    """What an export needs of memory, and of the disk beside float artifacts.

    Both are multiples of the weights.
    """

    peak: float
    work: float


# Measured on 48 million parameters, the float artifacts on 132 million too.
FLOAT = Cost(peak=5.0, work=0.0)
REDUCED = Cost(peak=6.5, work=1.5)  # float16 and dynamic
PREPARED = Cost(peak=6.5, work=3.3)  # int8
SLOW_PREPARED = Cost(peak=12.0, work=7.3)  # int8, without a fast quantizer

ROOT = Path("/")
"""Where Linux shows its limits."""


def check_resources(
    parameters: int, options: ExportOptions, *, loaded: bool
) -> None:
    """Raise RequestError if an export cannot fit in memory or on the disk.

    There are 0 parameters if their number is unknown. `loaded` says whether
    this process has loaded the libraries and the model.
    """
    weights = BYTES * parameters
    for name in options.formats:
        largest = FORMATS[name].max_bytes
        if largest and weights > largest:
            raise RequestError(
                f"a {name} file holds at most {_gb(largest)}, but the weights "
                f"of the model are {_gb(weights)}; leave the format out"
            )
    if options.force:
        return
    cost = cost_of(options)
    needed = weights * cost.peak + LIBRARIES
    if loaded:
        needed -= weights + LIBRARIES
    addresses = needed + (0 if loaded else ADDRESSES - LIBRARIES)
    for available, what in available_memory():
        least = addresses if what == ADDRESS_LIMIT else needed
        _check(least, available, f"of memory, but {what} leaves", parameters)
    _check(
        weights * (len(options.formats) + cost.work),
        free_space(options.output_dir),
        f"on the disk of {options.output_dir}, which has",
        parameters,
    )


def parameters_in(path: str | os.PathLike) -> int:
    """Return the number of parameters in a `.keras` file; 0 if unknown.

    Only the list of its weights is read, and none that is compressed.

    Raises:
        RequestError: if the file does not exist, or is a pipe or a device.
    """
    import h5py

    check_regular(Path(path))
    total = 0

    def add(name: str, entry: Any) -> None:
        nonlocal total
        if isinstance(entry, h5py.Dataset) and not name.startswith("optimizer"):
            total += entry.size

    with contextlib.suppress(Exception), zipfile.ZipFile(path) as archive:
        if file := stored_file(archive, WEIGHTS):
            with h5py.File(file) as weights:
                weights.visititems(add)
    return total


def cost_of(options: ExportOptions) -> Cost:
    """Return what an export with these options needs at most."""
    if PREPARED_SCHEME in options.quantize:
        names = options.quantized_formats(PREPARED_SCHEME)
        fast = all(FORMATS[name].fast_quantizer for name in names)
        return PREPARED if fast else SLOW_PREPARED
    return REDUCED if options.quantize else FLOAT


def free_space(output: Path) -> float:
    """Return the free bytes of the disk on which a bundle is written."""
    return shutil.disk_usage(parent_of(output)).free


ADDRESS_LIMIT = "the limit of the address space"


def available_memory() -> Iterator[tuple[float, str]]:
    """Yield the bytes that this process can still use, by every limit."""
    with contextlib.suppress(OSError, ValueError, KeyError):
        found = _table(ROOT / "proc/meminfo")
        free = found["MemAvailable:"] + found.get("SwapFree:", 0)
        yield 1024 * free, "the machine"
    with contextlib.suppress(OSError, ValueError, ImportError):
        import resource

        limit, _ = resource.getrlimit(resource.RLIMIT_AS)
        pages = int((ROOT / "proc/self/statm").read_text().split()[0])
        if limit != resource.RLIM_INFINITY:
            yield limit - pages * resource.getpagesize(), ADDRESS_LIMIT
    for folder, limit_file, usage_file, cache in _control_groups():
        # Without a limit, the file is missing or says "max".
        with contextlib.suppress(OSError, ValueError, KeyError):
            limit = int((folder / limit_file).read_text())
            usage = int((folder / usage_file).read_text())
            usage -= _table(folder / "memory.stat")[cache]
            yield limit - usage, "the control group's limit"


CONTROL_GROUPS = {
    "": ("sys/fs/cgroup", "memory.max", "memory.current", "inactive_file"),
    "memory": (
        "sys/fs/cgroup/memory",
        *("memory.limit_in_bytes", "memory.usage_in_bytes"),
        "total_inactive_file",
    ),
}
"""Of version 2, and of the memory controller of version 1: the folder, the
files with the limit and the use, and the name of what of it is a cache."""


def _control_groups() -> Iterator[tuple[Path, str, str, str]]:
    """Yield every folder with a memory limit of this process, and its files."""
    text = ""
    with contextlib.suppress(OSError):
        text = os.fsdecode((ROOT / "proc/self/cgroup").read_bytes())
    for line in text.splitlines():
        _, controllers, path = line.split(":", 2)
        for controller in CONTROL_GROUPS.keys() & controllers.split(","):
            mount, limit, usage, cache = CONTROL_GROUPS[controller]
            within = Path(path.lstrip("/"))
            for folder in (within, *within.parents):
                yield ROOT / mount / folder, limit, usage, cache


def _table(path: Path) -> dict[str, int]:
    """Return the numbers of a file that has a name and a number per line."""
    lines = path.read_text().splitlines()
    return {line.split()[0]: int(line.split()[1]) for line in lines}


def _check(needed: float, available: float, where: str, parameters: int):
    if needed <= available:
        return
    model = f" of {parameters:,} parameters" if parameters else ""
    raise RequestError(
        f"the export{model} needs about {_gb(needed)} {where} "
        f"{_gb(max(available, 0))}; free some, request fewer formats, or try "
        "it anyway with force (--force)"
    )


def _gb(size: float) -> str:
    return f"{size / 1e9:.3g} GB"


def release_memory() -> None:
    """Return the memory that is not used to the system.

    The C library of most Linux systems keeps what was freed below memory that
    is in use, 0.6 GB in an export of 132 million parameters.
    """
    gc.collect()
    if sys.platform == "linux":
        trim = getattr(ctypes.CDLL(None), "malloc_trim", None)
        if trim is not None:
            trim(0)
