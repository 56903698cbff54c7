"""SavedModel: written and run by TensorFlow."""

from keras_inception_export.formats.format import Format, lazy

FORMAT = Format(
    name="saved_model",
    file_name="saved_model",
    marker="saved_model.pb",
    members=(
        *("saved_model.pb", "fingerprint.pb"),
        *("variables/variables.index", "variables/variables.data-*"),
        *("assets.extra/keras_inception.json", "assets.extra/signature.json"),
    ),
    write=lazy(f"{__name__}.export:write"),
    open_runner=lazy(f"{__name__}.runtime:open_runner"),
    attach=lazy(f"{__name__}.metadata:attach"),
    attached=lazy(f"{__name__}.metadata:attached"),
    read_specs=lazy(f"{__name__}.runtime:read_specs"),
    packages=("tensorflow",),
)
