"""The networks that `--model NAME` builds, told without importing any."""

NETWORKS = {
    "vgg16": "VGG16",
    "vgg16_inception": "VGG16Inception",
    "googlenet": "GoogLeNet",
    "inception_v3": "InceptionV3",
    "inception_v4": "InceptionV4",
    "inception_resnet_v2": "InceptionResNetV2",
}
"""Name of each and its function in `keras_inception_layers`."""
