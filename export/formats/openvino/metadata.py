"""The metadata of OpenVINO IR: an entry of the `rt_info` of its XML file."""

from pathlib import Path
from xml.etree import ElementTree
from xml.sax.saxutils import quoteattr

from keras_inception_export.data.metadata import NAME

END = "</rt_info>"


def attach(path: Path, text: bytes) -> None:
    """Add the entry to the model's `rt_info`, which is at the file's end."""
    before, end, after = path.read_text(encoding="utf-8").rpartition(END)
    entry = f"\t<{NAME} value={quoteattr(text.decode())} />\n\t"
    path.write_text(f"{before}{entry}{end}{after}", encoding="utf-8")


def attached(path: Path) -> bytes | None:
    """Return the value of the entry."""
    entry = ElementTree.parse(path).find(f"rt_info/{NAME}")
    return None if entry is None else entry.get("value", "").encode()
