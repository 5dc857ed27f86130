"""Checks with Keras itself that it reads what `Library::serialize` writes, and computes the same.

    pip install keras 'jax[cpu]' numpy
    python tests/keras/check_spellings.py

No test needs it: tests hold that `tests/data/keras/spellings.json` is what is written, with float64 values of each activation; this
holds that Keras reads it, alone, in the place of an activation and in a Dense layer, and writes it back.
"""

import json
import os
from pathlib import Path

os.environ.setdefault("KERAS_BACKEND", "jax")

import keras
import numpy as np

# Keras, up to 3.15 at least, computes another tau for every row whose support has more than one entry.
OTHER_VALUES = ("sparsemax",)

# Float32 arithmetic on values of size 1, with an exponential or two.
TOLERANCE = 1e-5

path = Path(__file__).resolve().parent.parent / "data" / "keras" / "spellings.json"
cases = json.loads(path.read_text())
x = np.asarray(cases["inputs"], dtype=np.float32).reshape(cases["shape"])
failed = 0
for case in cases["activations"]:
    config, name = case["config"], case["activation"]
    try:
        layer = keras.layers.Activation(keras.activations.get(config))
        y = np.asarray(layer(x), dtype=np.float64).ravel()
        written = keras.saving.serialize_keras_object(layer)
        again = keras.saving.deserialize_keras_object(json.loads(json.dumps(written)))
        assert np.array_equal(np.asarray(again(x)).ravel(), y), "what Keras writes back is another"
        dense = {"module": "keras.layers", "class_name": "Dense", "registered_name": None,
                 "config": {"units": x.shape[-1], "activation": config}}
        keras.saving.deserialize_keras_object(dense)(x)
        difference = np.max(np.abs(y - np.asarray(case["outputs"])))
        other = name.startswith(OTHER_VALUES)
        assert other or difference <= TOLERANCE, f"differs by {difference}"
        print(f"ok       {name}{' (read; Keras computes another value)' if other else ''}")
    except Exception as error:
        failed += 1
        print(f"FAILED   {name}: {type(error).__name__} {str(error).strip()[:200]}")
print(f"Keras {keras.__version__}, {keras.backend.backend()}: {len(cases['activations']) - failed} read, {failed} not")
raise SystemExit(failed != 0)
