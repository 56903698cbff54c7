"""Rebuild a model from its own config, with edits.

A model is a config and weights. Whatever derives a variant of a model (batch
normalization folded, another dtype) edits the config with `rebuild` and copies
the weights with `copy_state`. Names, nesting, masks and shared layers are then
the same as if Keras had loaded the variant from a `.keras` file.
"""

import tempfile

import keras
from keras.layers import Normalization

FLOATS = ("bfloat16", "float16", "float32", "float64")


def rebuild(model, *edits):
    """Return a new, uncompiled model made from the edited config of `model`.

    Each edit is called with the serialized model, a dict, and changes it in
    place. Weights have their initial values.
    """
    if not model.built:
        raise ValueError(
            f'The model "{model.name}" is not built and has no weights. Call '
            "it on data, or build it with an input shape, before."
        )
    config = keras.saving.serialize_keras_object(model)
    config.pop("compile_config", None)
    for edit in edits:
        edit(config)
    return keras.saving.deserialize_keras_object(
        config, custom_objects=_custom_classes(model), safe_mode=False
    )


def _custom_classes(model):
    """Return the custom classes in a live model, whether registered or not."""
    classes: dict[str, type] = {}
    for layer in model._flatten_layers():
        kind = type(layer)
        if kind.__module__.startswith("keras."):
            continue
        name = keras.saving.get_registered_name(kind)
        if classes.setdefault(name, kind) is not kind:
            raise ValueError(
                f'The model has layers of two classes named "{name}". Rename '
                "one of them."
            )
    return classes


def copy_state(source, target):
    """Copy the weights and other state of a layer to its rebuilt copy.

    Weights are matched by path; in order, if the paths are not the same ones,
    since Keras numbers layers without a given name.
    """
    sources, targets = _by_path(source), _by_path(target)
    if not sources or sources.keys() != targets.keys():
        sources = dict(enumerate(source.weights))
        targets = dict(enumerate(target.weights))
    shapes = [
        {key: tuple(weight.shape) for key, weight in weights.items()}
        for weights in (sources, targets)
    ]
    if shapes[0] != shapes[1]:
        raise ValueError(
            f'The layer "{source.name}" has weights of the shapes '
            f"{[*shapes[0].values()]}, but its copy has "
            f"{[*shapes[1].values()]}: its config does not describe it "
            "completely. Fix its `get_config` or `build`."
        )
    for key, weight in sources.items():
        targets[key].assign(weight)
    pairs = zip(_adapted(source), _adapted(target), strict=True)
    for old, new in pairs:  # in the order in which Keras loads a file
        store: dict[str, object] = {}
        old.save_own_variables(store)
        new.load_own_variables(store)
        own = type(new).load_own_variables is not keras.Layer.load_own_variables
        if not own and hasattr(new, "finalize_state"):
            new.finalize_state()  # as after `adapt`
        if isinstance(new, Normalization):
            _round_like(old, new)
        if hasattr(old, "save_assets"):  # a vocabulary
            with tempfile.TemporaryDirectory() as folder:
                old.save_assets(folder)
                new.load_assets(folder)


def _adapted(layer):
    """Return the layers that may have state outside their weights.

    `Normalization` has constants, the lookup layers have tables.
    """
    names = "finalize_state", "save_assets"
    return [
        part
        for part in layer._flatten_layers()
        if any(hasattr(part, name) for name in names)
    ]


def _round_like(source, target):
    """Give the statistics of a copy the precision that those of a layer have.

    `Normalization` keeps them in its compute dtype, which the copy may change.
    """
    for name in ("mean", "variance"):
        if getattr(target, name, None) is not None:
            value = keras.ops.cast(getattr(target, name), source.compute_dtype)
            setattr(target, name, keras.ops.cast(value, target.compute_dtype))


def _by_path(layer):
    """Return the weights by path, or nothing if two have the same path."""
    weights = {weight.path: weight for weight in layer.weights}
    return weights if len(weights) == len(layer.weights) else {}


def set_dtype(dtype):
    """Return an edit that makes every floating-point part compute in `dtype`.

    Mixed dtype policies become plain ones; quantized ones stay quantized, and
    those of float8 stay as they are.
    Integer inputs are not changed.
    """

    def edit(config):
        for part in parts_of(config):
            if _is_float_policy(part):
                part.update(class_name="DTypePolicy", config={"name": dtype})
            elif "source_name" in part:  # of a quantized policy
                # What float8 rounds has the precision of the source.
                if part["mode"] != "float8":
                    part["source_name"] = dtype
            elif part.get("dtype") in FLOATS:
                part["dtype"] = dtype

    return edit


def parts_of(config):
    """Yield every dictionary in a config, the outer ones first."""
    if isinstance(config, dict):
        yield config
        config = list(config.values())
    if isinstance(config, (list, tuple)):
        for value in config:
            yield from parts_of(value)


def _is_float_policy(part):
    """Return whether a part of a config is a policy without quantization.

    Preprocessing layers such as `Hashing` have one of an integer dtype.
    """
    if part.get("class_name") == "DTypePolicy":
        return part["config"]["name"].removeprefix("mixed_") in FLOATS
    return part.get("class_name") == "DTypePolicyMap"


def skip_initializers(config):
    """Edit a config so that building the model draws no random numbers.

    Drawing them takes twice their memory, and in float64 most of the time.
    """
    for part in parts_of(config):
        for key, value in part.items():
            if key.endswith("initializer") and value is not None:
                part[key] = "zeros"
