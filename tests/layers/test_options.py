"""The options of a layer are applied to each of its children."""

import keras
import numpy as np
import pytest

from benchmarks.notebook_model import Conv2d_bn
from keras_inception_layers import ConvBN, InceptionV1Block
from keras_inception_layers.layers.residual_block import ResidualBlock
from tests.helpers.layer_cases import (
    CASES,
    cases_with,
    descendants,
    every_option_case,
)
from tests.helpers.numeric import (
    assert_equal,
    check_equal,
    random_images,
    randomize,
    to_array,
)

POLICIES = (
    "float16",
    "bfloat16",
    "float32",
    "float64",
    "mixed_float16",
    "mixed_bfloat16",
)


def built(case, **options):
    layer = case.make(**options)
    layer.build(case.images)
    return layer


def weights_named(layer, *names):
    return [w for w in layer.weights if w.name in names]


def values_named(layer, *names):
    return [to_array(w) for w in weights_named(layer, *names)]


@pytest.mark.usefixtures("float64")
@cases_with("policy", {x: x for x in POLICIES})
def test_dtype_policy_is_applied_to_every_child(case, policy):
    layer = case.make(dtype=policy)
    # The output is symbolic, its dtype that of the operations: not every
    # processor computes in every dtype.
    output = layer(keras.Input(batch_shape=case.images))
    children = list(descendants(layer))
    assert children
    assert {child.dtype_policy.name for child in children} == {policy}
    assert {w.dtype for w in layer.weights} == {layer.variable_dtype}
    assert keras.backend.standardize_dtype(output.dtype) == layer.compute_dtype


@pytest.mark.one_backend
def test_global_dtype_policy_is_applied_to_every_child():
    keras.config.set_dtype_policy("mixed_bfloat16")
    for case in CASES.values():
        layer = case.make()
        policies = {x.dtype_policy.name for x in (layer, *descendants(layer))}
        assert policies == {"mixed_bfloat16"}


@every_option_case
def test_options_are_applied_to_every_weight(case):
    """All at once: each is seen in something else."""
    initial = (-0.25, -0.125)
    layer = case.make(
        kernel_initializer=keras.initializers.RandomUniform(*initial),
        bias_initializer="ones",
        kernel_regularizer=keras.regularizers.L2(0.5),
        bias_regularizer="l1",
        kernel_constraint="non_neg",
        bias_constraint="non_neg",
        momentum=0.9,
        epsilon=1e-5,
        scale=True,
        synchronized=True,
    )
    config = layer.get_config()
    layer.build(case.images)
    assert layer.get_config() == config
    kernels = values_named(layer, "kernel")
    shifts = values_named(layer, "bias", "beta")
    others = weights_named(layer, "gamma", "alpha")
    trainable = len(layer.trainable_weights)
    assert len(kernels) + len(shifts) == trainable - len(others)
    low, high = initial
    assert all(np.all((low <= k) & (k <= high)) for k in kernels)
    assert all(np.all(shift == 1) for shift in shifts)
    # A shared initializer draws different kernels.
    assert len({kernel.flat[0] for kernel in kernels}) == len(kernels)

    assert len(layer.losses) == len(kernels) + len(shifts)
    expected = 0.5 * sum(np.sum(np.square(k)) for k in kernels)
    expected += 0.01 * sum(np.sum(np.abs(s)) for s in shifts)
    assert to_array(sum(layer.losses)) == pytest.approx(expected, rel=1e-5)

    weights = layer.trainable_weights
    gradients = [keras.ops.ones(w.shape) for w in weights]
    keras.optimizers.SGD(2.0).apply(gradients, weights)
    constrained = values_named(layer, "kernel", "bias", "beta")
    assert all(np.all(weight == 0) for weight in constrained)

    # A file written under one backend is read under the others.
    assert config["synchronized"] is True
    again = type(layer).from_config(config)
    assert again.get_config() == config
    synchronized = keras.backend.backend() == "tensorflow"
    norms = [x for x in descendants(again) if hasattr(x, "moving_mean")]
    assert len(norms) == case.non_trainable / 2
    for norm in norms:
        assert (norm.momentum, norm.epsilon, norm.scale) == (0.9, 1e-5, True)
        assert norm.synchronized == synchronized


def test_activity_regularizer_adds_one_loss():
    block = CASES["InceptionV1Block"].make(activity_regularizer="l2")
    block(random_images((1, 6, 7, 3)))
    assert len(block.losses) == 1


@pytest.mark.parametrize(
    "initializer",
    [
        "he_normal",
        keras.initializers.RandomNormal(seed=keras.random.SeedGenerator(1)),
    ],
    ids=["name", "seed generator"],
)
def test_a_shared_initializer_draws_different_kernels(initializer):
    case = CASES["InceptionV1Block"]
    layer = built(case, kernel_initializer=initializer)
    kernels = values_named(layer, "kernel")
    assert len({kernel.flat[0] for kernel in kernels}) == len(kernels)


def test_a_seeded_initializer_draws_equal_kernels():
    block = InceptionV1Block(
        ((2,), (2, 2), (2, 2), (2,)),
        kernel_initializer=keras.initializers.RandomNormal(seed=1),
    )
    block.build((None, 6, 7, 3))
    kernels = values_named(block, "kernel")
    same_shape = [k for k in kernels if k.shape == (1, 1, 3, 2)]
    assert len(same_shape) == 4
    for kernel in same_shape:
        assert_equal(kernel, same_shape[0])


@every_option_case
def test_biases_are_those_of_convolutions_without_batch_norm(case):
    """But the projection of a residual block, which always has a bias."""
    layer = built(case, use_batch_norm=False)
    assert not weights_named(layer, "moving_mean")
    kernels = weights_named(layer, "kernel")
    assert len(weights_named(layer, "bias")) == len(kernels)
    for use_bias in (True, False):
        layer = case.make(use_bias=use_bias, use_batch_norm=not use_bias)
        convs = [
            child
            for child in descendants(layer)
            if isinstance(child, keras.layers.Conv2D)
        ]
        others = [conv for conv in convs if conv.use_bias != use_bias]
        if isinstance(layer, ResidualBlock):
            [[_, projection]] = layer.branches
            assert others == ([] if use_bias else [projection.conv])
        else:
            assert convs and not others


@pytest.mark.parametrize("normalizer", [True, False])
@pytest.mark.parametrize("activation", ["relu", False])
def test_equals_the_convolution_of_the_notebook(normalizer, activation):
    images = random_images((2, 6, 7, 3))
    inputs = keras.Input((6, 7, 3))
    outputs = Conv2d_bn(inputs, 4, 3, "same", 1, normalizer, activation)
    theirs = randomize(keras.Model(inputs, outputs))
    ours = ConvBN(
        4, 3, use_batch_norm=normalizer, activation=activation, use_bias=False
    )
    ours.build(inputs.shape)
    ours.set_weights(theirs.get_weights())
    check_equal(ours, images, theirs(images), 1e-6, ours.weights[0])


@every_option_case
def test_an_activation_layer_is_created_and_tracked_per_child(case):
    template = keras.layers.PReLU()
    layer = case.make(activation=template, trainable=False)
    assert layer(random_images(case.images)).shape == case.outputs
    slopes = weights_named(layer, "alpha")
    assert len(slopes) == len({w.path for w in slopes}) > 0
    layers = layer._flatten_layers()
    slopes = [x for x in layers if isinstance(x, keras.layers.PReLU)]
    assert slopes and template not in slopes
    assert not any(x.trainable or x._layers for x in slopes)
    assert all(x.built and x.path.startswith(layer.path) for x in slopes)
    none, false, relu = (
        case.make(activation=activation, name="same").get_config()
        for activation in (None, False, "relu")
    )
    assert none == false != relu


@pytest.mark.usefixtures("float64")
@pytest.mark.parametrize("policy", ["float64", "mixed_float16"])
def test_an_activation_layer_has_the_dtype_policy_of_its_parent(policy):
    """In float32 it would round float64 inputs and change the output dtype."""
    outputs = [
        case.make(
            activation=activation,
            dtype=policy,
            kernel_initializer=keras.initializers.RandomNormal(seed=1),
        )(random_images(case.images).astype("float64"))
        for case in [CASES["InceptionV1Block"]]
        for activation in ("leaky_relu", keras.layers.LeakyReLU(0.2))
    ]
    dtypes = {keras.backend.standardize_dtype(x.dtype) for x in outputs}
    assert dtypes == {policy.removeprefix("mixed_")}
    assert_equal(*outputs)
