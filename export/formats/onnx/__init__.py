"""The ONNX format, run by ONNX Runtime."""

from keras_inception_export.formats.format import Format, lazy

FORMAT = Format(
    name="onnx",
    file_name="model.onnx",
    suffixes=(".onnx",),
    companions=("{name}.data",),
    write=lazy(f"{__name__}.export:write"),
    open_runner=lazy(f"{__name__}.runtime:open_runner"),
    attach=lazy(f"{__name__}.metadata:attach"),
    attached=lazy(f"{__name__}.metadata:attached"),
    snippets=lazy(f"{__name__}.snippets:templates"),
    intermediates=lazy(f"{__name__}.intermediates:OnnxIntermediates"),
    quantizer=lazy(f"{__name__}.quantize.quantizer:OnnxQuantizer"),
    schemes=("float16", "dynamic", "int8"),
    fast_quantizer=True,
    packages=("tf2onnx", "onnx", "onnxruntime"),
)
