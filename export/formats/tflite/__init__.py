"""TFLite: written by TensorFlow's converter, run by LiteRT."""

from keras_inception_export.formats.format import Format, lazy

CONVERTER = f"{__name__}.converter_worker"

FORMAT = Format(
    name="tflite",
    file_name="model.tflite",
    suffixes=(".tflite",),
    write=lazy(f"{__name__}.export:write"),
    worker=CONVERTER,
    open_runner=lazy(f"{__name__}.runtime:open_runner"),
    attach=lazy(f"{__name__}.metadata:attach"),
    attached=lazy(f"{__name__}.metadata:attached"),
    snippets=lazy(f"{__name__}.snippets:templates"),
    intermediates=lazy(f"{__name__}.intermediates:TFLiteIntermediates"),
    quantizer=lazy(f"{__name__}.quantize.quantizer:TFLiteQuantizer"),
    schemes=("float16", "dynamic", "int8"),
    packages=("tensorflow", "ai-edge-litert"),
    max_bytes=2**31 - 1,  # a flatbuffer's offsets are 32-bit integers
)
