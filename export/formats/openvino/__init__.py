"""OpenVINO IR, served by OpenVINO."""

from keras_inception_export.formats.format import Format, lazy

FORMAT = Format(
    name="openvino",
    file_name="model.xml",
    suffixes=(".xml",),
    companions=("{stem}.bin",),
    write=lazy(f"{__name__}.export:write"),
    open_runner=lazy(f"{__name__}.runtime:open_runner"),
    attach=lazy(f"{__name__}.metadata:attach"),
    attached=lazy(f"{__name__}.metadata:attached"),
    default=False,
    packages=("openvino",),
)
