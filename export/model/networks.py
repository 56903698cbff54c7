"""The names of the networks of `--model NAME`, without importing them."""

NETWORKS = {
    "vgg16": "VGG16",
    "vgg16_inception": "VGG16Inception",
    "googlenet": "GoogLeNet",
    "inception_v3": "InceptionV3",
    "inception_v4": "InceptionV4",
    "inception_resnet_v2": "InceptionResNetV2",
}
"""The function of `keras_inception_layers` by the name of the network."""
