"""Train with TensorFlow's MirroredStrategy on two virtual CPU devices.

python -m tests.helpers.backends.mirrored FILE.npz
"""

import sys

import tensorflow as tf

from tests.helpers.backends.replicas import (
    CASES,
    REPLICAS,
    batches,
    build_model,
    halves,
    run_of,
    save,
    whole,
)


def mirrored(case, scope):
    """Train in a strategy's scope, where `fit` divides each batch."""
    with scope:
        model = build_model(case)
    losses = []
    for images, labels in batches():
        history = model.fit(
            images, labels, batch_size=len(images), verbose=0, shuffle=False
        )
        losses += history.history["loss"]
    return run_of(model, losses)


def gradients(model, images, labels):
    with tf.GradientTape() as tape:
        loss = model.compute_loss(y=labels, y_pred=model(images, training=True))
    return float(loss), tape.gradient(
        loss, [weight.value for weight in model.trainable_weights]
    )


def main(path):
    (cpu,) = tf.config.list_physical_devices("CPU")
    tf.config.set_logical_device_configuration(
        cpu, [tf.config.LogicalDeviceConfiguration()] * REPLICAS
    )
    strategy = tf.distribute.MirroredStrategy(
        [device.name for device in tf.config.list_logical_devices("CPU")]
    )
    assert strategy.num_replicas_in_sync == REPLICAS
    runs = {}
    for case in CASES:
        runs[case] = mirrored(case, strategy.scope())
        runs[f"{case}/whole"] = whole(case)
        for replica, run in enumerate(halves(case, gradients)):
            runs[f"{case}/half {replica}"] = run
    save(path, runs)


if __name__ == "__main__":
    main(sys.argv[1])
