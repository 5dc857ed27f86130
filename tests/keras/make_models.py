"""Makes the models in tests/data/keras with Keras itself: config, weights, inputs and outputs of each.

    pip install keras 'jax[cpu]' numpy
    python tests/keras/make_models.py

No test needs it. The configs of Keras 2 there (`config.json` of the folders that begin with `keras_2`) are written by hand after what
tf.keras 2.11 writes; their weights and outputs come from the same layers in Keras 3, built here.
"""

import json
import os
from pathlib import Path

os.environ.setdefault("KERAS_BACKEND", "jax")

import keras
import numpy as np
from keras import layers, ops

HERE = Path(__file__).resolve().parent.parent / "data" / "keras"
random = np.random.RandomState(20)


def save(name, model, inputs, config=True):
    """Weights get other values than the initial ones, so that each of them matters."""
    folder = HERE / name
    folder.mkdir(parents=True, exist_ok=True)
    arrays = {}
    for weight in model.weights:
        shape = weight.shape
        values = random.uniform(-1, 1, shape)
        if weight.name in ("moving_variance", "gamma", "scale"):
            values = random.uniform(0.5, 1.5, shape)
        if weight.name == "kernel":
            values = values * np.sqrt(2 / shape[0])
        weight.assign(values.astype(np.float32))
        arrays[weight.path] = np.asarray(weight.value, dtype=np.float32)
    np.savez(folder / "weights.npz", **arrays)
    if config:
        (folder / "config.json").write_text(json.dumps(json.loads(model.to_json()), indent=1) + "\n")
    outputs = model(inputs if len(inputs) > 1 else inputs[0], training=False)
    outputs = outputs if isinstance(outputs, (list, tuple)) else [outputs]
    for kind, values in (("inputs", inputs), ("outputs", outputs)):
        for place, array in enumerate(values):
            suffix = "" if len(values) == 1 else f"_{place}"
            np.save(folder / f"{kind}{suffix}.npy", np.asarray(array, dtype=np.float32))


def uniform(*shape):
    return random.uniform(-2, 2, shape).astype(np.float32)


def residual():
    """A network with skipped connections and every normalisation."""
    x = layers.Input((12,), name="features")
    h = layers.Dense(16, activation="leaky_relu", name="wide")(x)
    h = layers.BatchNormalization(name="batch_norm")(h)
    skip = layers.Dense(16, use_bias=False, name="skip")(x)
    h = layers.Add(name="sum")([h, skip])
    h = layers.LayerNormalization(name="layer_norm")(h)
    h = layers.Dropout(0.3, name="dropout")(h)
    g = layers.Dense(16, activation="sigmoid", name="gate")(h)
    h = layers.Multiply(name="gated")([h, g])
    h = layers.PReLU(name="slopes")(h)
    h = layers.RMSNormalization(name="rms")(h)
    h = layers.Dense(8, activation=layers.LeakyReLU(0.1), name="narrow")(h)
    y = layers.Dense(3, activation="softmax", name="classes")(h)
    return keras.Model(x, y, name="residual"), [uniform(9, 12)]


def two_inputs():
    """Two inputs, a shared layer, a concatenation, other shapes, two outputs."""
    a, b = layers.Input((6,), name="a"), layers.Input((2, 3), name="b")
    shared = layers.Dense(5, activation="hard_sigmoid", name="shared")
    flat = layers.Flatten(name="flat")(b)
    known = layers.Normalization(mean=[1.0, 0.5, -1.0], variance=[4.0, 1.0, 0.25], name="known")(b)
    one, other = shared(a), shared(flat)
    most = layers.Maximum(name="most")([one, other])
    least = layers.Minimum(name="least")([one, other])
    mean = layers.Average(name="mean")([one, other])
    apart = layers.Subtract(name="apart")([most, least])
    rows = layers.Reshape((-1,), name="rows")(known)
    joined = layers.Concatenate(name="joined")([mean, apart, rows])
    joined = layers.ELU(0.5, name="elu")(joined)
    scaled = layers.Rescaling(0.5, offset=0.25, name="scaled")(joined)
    unit = layers.UnitNormalization(name="unit")(scaled)
    y = layers.Dense(4, activation={"module": "keras.src.ops.nn", "class_name": "Gelu",
        "config": {"approximate": True}, "registered_name": "Gelu"}, name="y")(unit)
    z = layers.Softmax(axis=[1, 2], name="z")(layers.GaussianNoise(0.1, name="noise")(known))
    return keras.Model([a, b], [y, z], name="two_inputs"), [uniform(7, 6), uniform(7, 2, 3)]


def axes():
    """A chain over arrays of rank 3, with weights along other axes than the last."""
    model = keras.Sequential([
        layers.Input((4, 5)),
        layers.BatchNormalization(axis=1, epsilon=0.01, name="rows"),
        layers.PReLU(shared_axes=[1], name="columns"),
        layers.LayerNormalization(axis=[1, 2], name="all"),
        layers.Dense(6, activation="gelu", name="dense"),
        layers.BatchNormalization(center=False, scale=False, name="plain"),
        layers.Softmax(axis=1, name="softmax"),
    ], name="axes")
    return model, [uniform(5, 4, 5)]


def former_hard_sigmoid(x):
    return ops.clip(0.2 * x + 0.5, 0.0, 1.0)


def keras_2_functional():
    x = layers.Input((6,), name="input_1")
    h = layers.Dense(8, activation=former_hard_sigmoid, name="dense")(x)
    h = layers.LeakyReLU(0.25, name="leaky_re_lu")(h)
    n = layers.BatchNormalization(epsilon=0.001, name="batch_normalization")(h)
    h = layers.Add(name="add")([n, h])
    y = layers.Dense(3, activation="softmax", name="dense_1")(h)
    return keras.Model(x, y), [uniform(9, 6)]


def keras_2_list():
    model = keras.Sequential([
        layers.Input((6,)),
        layers.Dense(5, activation="relu", name="dense_1"),
        layers.Lambda(lambda x: ops.where(x > 0.75, x, 0.0), name="thresholded_re_lu_1"),
        layers.Dense(2, activation=former_hard_sigmoid, name="dense_2"),
    ])
    return model, [uniform(9, 6)]


for make in (residual, two_inputs, axes):
    save(make.__name__, *make())
for make in (keras_2_functional, keras_2_list):
    save(make.__name__, *make(), config=False)
