"""Trains on two devices what the rows say, and what is refused.

python mirrored_script.py ROWS.json RESULTS.json [small]
"""

import json
import sys
from pathlib import Path

import tensorflow as tf

tf.config.set_logical_device_configuration(
    tf.config.list_physical_devices("CPU")[0],
    [tf.config.LogicalDeviceConfiguration()] * 2,
)
strategy = tf.distribute.MirroredStrategy(["CPU:0", "CPU:1"])

import keras  # noqa: E402

from keras_mtl import balancers  # noqa: E402
from tests.distribution.training import model, trained  # noqa: E402


def refusals():
    """What `compile` says to what cannot work, by its argument."""
    outside = model()
    seeded = balancers.PCGrad(seed=1)
    with strategy.scope():
        inside = model()
        accumulating = keras.optimizers.SGD(gradient_accumulation_steps=2)
    tries = {
        "steps_per_execution": (inside, {"steps_per_execution": 2}),
        "jit_compile": (inside, {"jit_compile": True}),
        "run_eagerly": (inside, {"run_eagerly": True}),
        "gradient_accumulation_steps": (inside, {"optimizer": accumulating}),
        "balancer": (inside, {"balancer": seeded}),
        "update_every": (
            inside,
            {"balancer": balancers.MGDA(jacobian="layerwise", update_every=2)},
        ),
        "model": (outside, {}),
    }
    said = {}
    for argument, (own, options) in tries.items():
        try:
            with strategy.scope():
                own.compile(**{"optimizer": "sgd", **options})
        except ValueError as error:
            said[argument] = str(error)
    return said


rows = json.loads(Path(sys.argv[1]).read_text())
found = []
for row in rows:
    with strategy.scope():
        found.append(trained(row, small="small" in sys.argv))
Path(sys.argv[2]).write_text(
    json.dumps({"found": found, "refusals": refusals()})
)
