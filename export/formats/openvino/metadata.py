"""The metadata of OpenVINO IR: an entry of the `rt_info` of its XML file."""

from pathlib import Path
from xml.etree import ElementTree

from keras_inception_export.data.metadata import NAME

INFO = "rt_info"


def attach(path: Path, text: bytes) -> None:
    """Add the entry to the model's `rt_info`."""
    tree = ElementTree.parse(path)
    network = tree.getroot()
    info = network.find(INFO)
    if info is None:
        info = ElementTree.SubElement(network, INFO)
    ElementTree.SubElement(info, NAME, value=text.decode())
    tree.write(path, encoding="utf-8", xml_declaration=True)


def attached(path: Path) -> bytes | None:
    """Return the value of the entry."""
    entry = ElementTree.parse(path).find(f"{INFO}/{NAME}")
    return None if entry is None else entry.get("value", "").encode()
