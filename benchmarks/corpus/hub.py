"""Small models of keras-hub, if it is installed, with random weights."""

from collections.abc import Callable
from functools import partial

from .case import Case

TEXT = {
    "vocabulary_size": 50,
    "num_layers": 2,
    "num_heads": 2,
    "hidden_dim": 8,
    "intermediate_dim": 16,
    "max_sequence_length": 12,
}
CAUSAL = {
    "vocabulary_size": 50,
    "num_layers": 2,
    "num_query_heads": 4,
    "num_key_value_heads": 2,
    "hidden_dim": 16,
    "intermediate_dim": 32,
}
IMAGE_MODELS = {
    "ResNet": {
        "input_conv_filters": [64],
        "input_conv_kernel_sizes": [7],
        "stackwise_num_filters": [64, 16, 16, 16],
        "stackwise_num_blocks": [1, 1, 1, 1],
        "stackwise_num_strides": [1, 2, 2, 2],
        "block_type": "basic_block",
        "image_shape": (64, 64, 3),
    },
    "DenseNet": {
        "stackwise_num_repeats": [1, 2, 1],
        "growth_rate": 8,
        "image_shape": (32, 32, 3),
    },
    "VGG": {
        "stackwise_num_repeats": [1, 1, 2],
        "stackwise_num_filters": [4, 8, 8],
        "image_shape": (56, 56, 3),
    },
    "MiT": {
        "layerwise_depths": [1, 1],
        "num_layers": 2,
        "layerwise_num_heads": [1, 2],
        "layerwise_sr_ratios": [8, 4],
        "max_drop_path_rate": 0.1,
        "layerwise_patch_sizes": [7, 3],
        "layerwise_strides": [4, 2],
        "hidden_dims": [16, 32],
        "image_shape": (32, 32, 3),
    },
    "ViT": {
        "image_shape": (28, 28, 3),
        "patch_size": (4, 4),
        "num_layers": 2,
        "num_heads": 2,
        "hidden_dim": 16,
        "mlp_dim": 32,
    },
}
TEXT_MODELS = {
    "Albert": TEXT | {"embedding_dim": 8},
    "Bart": TEXT,
    "Bert": TEXT,
    "DebertaV3": TEXT | {"bucket_size": 4},
    "DistilBert": TEXT,
    "FNet": {k: v for k, v in TEXT.items() if k != "num_heads"},
    "GPT2": TEXT,
    "GPTNeoX": TEXT | {"hidden_dim": 16},
    "Gemma": CAUSAL | {"head_dim": 4},
    "Llama": CAUSAL,
    "Mistral": CAUSAL,
    "OPT": TEXT,
    "Qwen": CAUSAL,
    "Roberta": TEXT,
    "T5": {k: v for k, v in TEXT.items() if k != "max_sequence_length"},
    "Whisper": TEXT
    | {
        "num_mels": 8,
        "max_encoder_sequence_length": 40,
        "max_decoder_sequence_length": 12,
    },
}
"""The arguments of `<name>Backbone`, as in `IMAGE_MODELS`."""

CLASSIFIED = ("Bert", "DistilBert", "Roberta")
"""The text models of which there is a `<name>TextClassifier` as well."""

SEQUENCE = 8
SHAPES = {"encoder_features": (2, SEQUENCE * 2, 8)}
"""The shapes of inputs that are not sequences of `SEQUENCE` tokens."""


def cases() -> list[Case]:
    """Return all models; none without keras-hub."""
    try:
        import keras_hub  # noqa: F401
    except ImportError:
        return []
    built: dict[str, Callable] = {
        f"{name}Backbone": partial(_backbone, name) for name in TEXT_MODELS
    }
    for name in CLASSIFIED:
        built[f"{name}TextClassifier"] = partial(_classifier, name, "Text")
    built["ResNetBackbone"] = partial(_backbone, "ResNet")
    for name in IMAGE_MODELS:
        built[f"{name}ImageClassifier"] = partial(_classifier, name, "Image")
    built |= {
        "DeepLabV3ImageSegmenter": _deeplab,
        "SegFormerImageSegmenter": _segformer,
        "RetinaNetObjectDetector": _retinanet,
    }
    return [
        Case(name=name, row=name, text=name, build=build, shapes=_Shapes())
        for name, build in built.items()
    ]


class _Shapes(dict):
    """The shape of any input: sequences, but for the inputs in `SHAPES`."""

    def get(self, name, default=None):
        return SHAPES.get(name, (2, SEQUENCE))


def _model(name, *positional, **arguments):
    import keras_hub

    return getattr(keras_hub.models, name)(*positional, **arguments)


def _backbone(name):
    return _model(f"{name}Backbone", **(TEXT_MODELS | IMAGE_MODELS)[name])


def _classifier(name, kind):
    options = {"pooling_hidden_dim": 16} if name == "VGG" else {}
    return _model(
        f"{name}{kind}Classifier", _backbone(name), num_classes=3, **options
    )


def _deeplab():
    backbone = _model(
        "DeepLabV3Backbone",
        image_encoder=_backbone("ResNet"),
        low_level_feature_key="P2",
        spatial_pyramid_pooling_key="P4",
        dilation_rates=[6, 12, 18],
        upsampling_size=4,
        image_shape=(64, 64, 3),
    )
    return _model("DeepLabV3ImageSegmenter", backbone, num_classes=2)


def _segformer():
    backbone = _model(
        "SegFormerBackbone",
        image_encoder=_backbone("MiT"),
        projection_filters=16,
    )
    return _model("SegFormerImageSegmenter", backbone, num_classes=2)


def _retinanet():
    import keras_hub

    backbone = _model(
        "RetinaNetBackbone",
        image_encoder=_backbone("ResNet"),
        min_level=3,
        max_level=5,
        use_p5=False,
        image_shape=(64, 64, 3),
    )
    anchors = keras_hub.layers.AnchorGenerator(
        bounding_box_format="yxyx",
        min_level=3,
        max_level=5,
        num_scales=3,
        aspect_ratios=[0.5, 1.0, 2.0],
        anchor_size=4.0,
    )
    return _model(
        "RetinaNetObjectDetector",
        backbone,
        num_classes=3,
        anchor_generator=anchors,
        label_encoder=keras_hub.layers.RetinaNetLabelEncoder(
            bounding_box_format="yxyx", num_classes=3, anchor_generator=anchors
        )
        if hasattr(keras_hub.layers, "RetinaNetLabelEncoder")
        else None,
    )
