"""Step time inside `fit`, as ratios to plain `keras.Model.fit`.

    python benchmarks/step_time.py [--rounds 25] [--tasks 8] [--jit]

The same MLP (64 → 3×512 → T×(64 → 1), batch 256) is trained by plain Keras
and by every kind of balancer. Runs are interleaved: each epoch of a variant
follows one of plain Keras, and its time is divided by that one's. Printed are
the median ratio and the quartiles over the rounds.
"""

import argparse
import os
import time

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")

import keras
import numpy as np
from rich.console import Console
from rich.table import Table

from keras_mtl import MultiTaskModel, balancers

BATCH = 256
STEPS = 20

# What is measured, and the bar that it is held against at T = 8.
VARIANTS = {
    "no balancer": (None, 1.05),
    "fixed": ("fixed", 1.05),
    "uncertainty": ("uncertainty", 1.05),
    "dynamic_weight_average": ("dynamic_weight_average", 1.05),
    "gradnorm, features": ({"gradnorm": {"wrt": "features"}}, 1.15),
    "mgda, features": ({"mgda": {"wrt": "features"}}, 1.15),
    "pcgrad, features": ({"pcgrad": {"wrt": "features"}}, 1.15),
    "cagrad, features": ({"cagrad": {"wrt": "features"}}, 1.15),
    "imtlg, features": ({"imtlg": {"wrt": "features"}}, 1.15),
    "graddrop, features": ({"graddrop": {"wrt": "features"}}, 1.15),
    "mgda": ("mgda", 3.3),
    "pcgrad": ("pcgrad", 3.3),
    "cagrad": ("cagrad", 3.3),
    "imtlg": ("imtlg", 3.3),
    "graddrop": ("graddrop", 3.3),
    "mgda, update_every=10": ({"mgda": {"update_every": 10}}, None),
}


def build(cls, num_tasks):
    """The model as the given class, from the same random state."""
    keras.utils.set_random_seed(0)
    x = h = keras.Input((64,))
    for _ in range(3):
        h = keras.layers.Dense(512, activation="relu")(h)
    outputs = {}
    for t in range(num_tasks):
        hidden = keras.layers.Dense(64, activation="relu")(h)
        outputs[f"task{t}"] = keras.layers.Dense(1, name=f"task{t}")(hidden)
    return cls(inputs=x, outputs=outputs)


def compiled(identifier, num_tasks, jit):
    """A model under a balancer; plain Keras for the identifier "plain"."""
    model = build(
        keras.Model if identifier == "plain" else MultiTaskModel, num_tasks
    )
    options = {} if identifier == "plain" else {"balancer": identifier}
    if isinstance(identifier, dict):
        ((name, arguments),) = identifier.items()
        options["balancer"] = balancers.get(name, **arguments)
    model.compile(
        "adam",
        loss={key: "mse" for key in model.output},
        jit_compile=jit,
        **options,
    )
    return model


def main():
    """Measures and prints."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--rounds", type=int, default=25)
    parser.add_argument("--tasks", type=int, default=8)
    parser.add_argument("--jit", action="store_true")
    parser.add_argument("--only", nargs="*", help="names of variants")
    args = parser.parse_args()

    rng = np.random.default_rng(0)
    x = rng.normal(size=(STEPS * BATCH, 64)).astype("float32")
    y = {
        f"task{t}": rng.normal(size=len(x)).astype("float32")
        for t in range(args.tasks)
    }
    names = [n for n in VARIANTS if not args.only or n in args.only]
    models = {"plain": compiled("plain", args.tasks, args.jit)} | {
        name: compiled(VARIANTS[name][0], args.tasks, args.jit)
        for name in names
    }

    def epoch(model):
        start = time.perf_counter()
        model.fit(x, y, batch_size=BATCH, epochs=1, verbose=0)
        return time.perf_counter() - start

    for model in models.values():  # trace, compile, warm up
        epoch(model)
    seconds = {name: [] for name in models}
    ratios = {name: [] for name in names}
    for _ in range(args.rounds):
        for name in names:
            plain, own = epoch(models["plain"]), epoch(models[name])
            seconds["plain"].append(plain)
            seconds[name].append(own)
            ratios[name].append(own / plain)

    table = Table(
        title=f"T = {args.tasks}, batch {BATCH}, plain Keras step "
        f"{np.median(seconds['plain']) / STEPS * 1e3:.2f} ms"
        + (", XLA" if args.jit else "")
    )
    for column in ("variant", "ratio", "quartiles", "bar", "ms a step"):
        table.add_column(column, justify="right")
    for name in names:
        low, middle, high = np.percentile(ratios[name], [25, 50, 75])
        bar = VARIANTS[name][1]
        table.add_row(
            name,
            f"{middle:.2f}",
            f"{low:.2f} to {high:.2f}",
            f"{bar:.2f}" if bar else "",
            f"{np.median(seconds[name]) / STEPS * 1e3:.2f}",
        )
    Console(width=100).print(table)


if __name__ == "__main__":
    main()
