"""One output of a multi-task model: its kind, loss, metrics and head."""

import copy
import inspect
import math
from collections.abc import Callable, Mapping, Sequence
from numbers import Integral, Real
from typing import Any

import keras

from keras_mtl._registry import PACKAGE
from keras_mtl.heads.quantile import checked_levels
from keras_mtl.tasks.kinds import KINDS, kind_of_loss

# Losses that treat each value on the last axis by itself, so that one
# missing value need not take the whole row with it.
_POINTWISE_LOSSES = (
    keras.losses.BinaryCrossentropy,
    keras.losses.BinaryFocalCrossentropy,
    keras.losses.Hinge,
    keras.losses.Huber,
    keras.losses.LogCosh,
    keras.losses.MeanAbsoluteError,
    keras.losses.MeanAbsolutePercentageError,
    keras.losses.MeanSquaredError,
    keras.losses.MeanSquaredLogarithmicError,
    keras.losses.Poisson,
    keras.losses.SquaredHinge,
)

# Metrics of which more is better; every other one counts as an error.
_MORE_IS_BETTER = (
    "accuracy",
    "acc",
    "auc",
    "precision",
    "recall",
    "f1",
    "fbeta",
    "iou",
    "io_u",
    "correlation",
    "kappa",
    "ndcg",
    "true_positives",
    "true_negatives",
    "similarity",
    "r2",
    "sensitivity",
    "specificity",
    "top",
)


@keras.saving.register_keras_serializable(package=PACKAGE)
class Task:
    """One output of a model, named by its key in the output dict.

    Each kind brings a loss, metrics and a head that suit it; any of them can
    be replaced by a Keras loss, metric or layer.

    | kind | labels | loss | metric, head |
    |---|---|---|---|
    | `"binary"` | 0, 1 `(batch,)` | binary cross-entropy | accuracy, sigmoid |
    | `"multiclass"` | index `(batch,)` | cross-entropy | accuracy, softmax |
    | `"multilabel"` | 0, 1 `(batch, units)` | as binary | accuracy, sigmoid |
    | `"ordinal"` | index `(batch,)` | `OrdinalLoss` | `rank_error` |
    | `"regression"` | floats `(batch[, units])` | squared error | mae, linear |
    | `"quantile"` | floats `(batch,)` | `QuantileLoss` | `PinballError` |
    | `"heteroscedastic"` | floats `(batch,)` | `GaussianLoss` | `mae_of_mean` |
    | `"tagging"` | index `(batch, time)` | cross-entropy | accuracy, softmax |
    | `"sequence"` | index `(batch, time)` | cross-entropy | accuracy, softmax |

    The losses and metrics with names of ours, and their heads, are in
    `keras_mtl.heads`, which tells how to read their outputs.

    A label that is NaN, or -1 in the kinds whose labels are classes, is
    missing: it counts in no loss, no metric and no gradient. Nor does a
    position that Keras masks, in tagging and sequences.

    Args:
        name: The key of the output, of its labels and of its logs.
        kind: One of the above. May be left out where `loss` tells it.
        units: Number of classes, of labels, of regressed values, of tags or
            of tokens. Needed by all kinds but `"binary"` and `"regression"`,
            where it is 1, and those of a fixed width: `"quantile"`, which has
            one unit per level, and `"heteroscedastic"`.
        loss: A Keras loss, its name or a function `(y_true, y_pred)`.
            Defaults to the kind's.
        metrics: A list of Keras metrics or their names. The first is the one
            that models are compared by. Defaults to the kind's.
        levels: The levels of a `"quantile"` task, rising numbers between 0
            and 1. May be left out where `loss` has them.
        direction: `"max"` if more of the first metric is better, `"min"` if
            less is; by default told from the metric's name.
        head: A Keras layer that turns features into this output; by default
            the kind's, in float32.
        weight: Factor on the loss, before any balancing. Not negative.
        unit: What one unit of the output measures ("m", "years"), for
            reports.
        class_names: Names of the classes or labels, for reports and exports.

    Raises:
        ValueError: An argument does not suit the kind; the message tells
            which and what would.

    Example:
    >>> age = Task("age", "regression", unit="years", loss="huber")
    >>> age.monitor, age.direction
    ('age_mae', 'min')
    >>> Task("digit", "multiclass", units=10).loss.name
    'sparse_categorical_crossentropy'
    >>> rain = Task("rain", "quantile", levels=[0.1, 0.5, 0.9], unit="mm")
    >>> rain.units, rain.monitor
    (3, 'rain_pinball')
    """

    def __init__(
        self,
        name: str,
        kind: str | None = None,
        *,
        units: int | None = None,
        levels: Sequence[float] | None = None,
        loss: Any = None,
        metrics: Sequence[Any] | None = None,
        direction: str | None = None,
        head: Any = None,
        weight: float = 1.0,
        unit: str | None = None,
        class_names: Sequence[str] | None = None,
    ) -> None:
        if not isinstance(name, str) or not name or "/" in name:
            raise ValueError(
                "`name` of a task must be a non-empty string without '/'; it "
                f"is the key of an output. Received: name={name!r}"
            )
        self.name = name
        resolved = None if loss is None else resolve_loss(loss)
        if kind is None:
            if resolved is None:
                raise ValueError(
                    f"`kind` or `loss` of task {name!r} must be given. "
                    f"Expected kind: one of {', '.join(KINDS)}."
                )
            kind = kind_of_loss(resolved)
        if kind not in KINDS:
            raise ValueError(
                f"`kind` of task {name!r} must be one of {', '.join(KINDS)}. "
                f"Received: kind={kind!r}"
            )
        _check_numbers(name, kind, units, weight)
        if direction not in (None, "max", "min"):
            raise ValueError(
                f"`direction` of task {name!r} must be 'max' or 'min'. "
                f"Received: direction={direction!r}"
            )
        if isinstance(metrics, str):
            raise ValueError(
                f"`metrics` of task {name!r} must be a list. Received: "
                f"{metrics!r}. Write metrics=[{metrics!r}]."
            )
        if head is not None and not isinstance(head, keras.Layer):
            raise ValueError(
                f"`head` of task {name!r} must be a Keras layer or model, of "
                f"which copies are made. Received: {head!r}"
            )
        self.kind = kind
        self.levels = _check_levels(name, kind, levels, resolved)
        row = KINDS[kind]
        self.loss = resolved or row.loss(self)
        self._check_loss()
        self.units = self._check_width(units)
        self.metrics = list(row.metrics(self) if metrics is None else metrics)
        self.head = head
        self.weight = float(weight)
        self.unit = unit
        self.class_names = None if class_names is None else list(class_names)
        self._direction = direction
        if self.class_names and units and len(self.class_names) != units:
            raise ValueError(
                f"`class_names` of task {name!r} must have one name for each "
                f"of its {units} units. Received: {len(self.class_names)}"
            )

    def __repr__(self) -> str:
        return f"Task({self.name!r}, {self.kind!r})"

    @property
    def classifies(self) -> bool:
        """Whether labels are classes, of which -1 is none."""
        return KINDS[self.kind].classifies

    @property
    def pointwise(self) -> bool:
        """Whether values on the labels' last axis can be missing one by one."""
        return isinstance(self.loss, _POINTWISE_LOSSES)

    @property
    def monitor(self) -> str:
        """The log key of the metric that models are compared by."""
        if not self.metrics:
            return f"{self.name}_loss"
        return f"{self.name}_{metric_name(self.metrics[0])}"

    @property
    def direction(self) -> str:
        """`"max"` or `"min"`: where better values of `monitor` lie."""
        if self._direction:
            return self._direction
        return metric_direction(self.monitor.removeprefix(f"{self.name}_"))

    def with_loss(self, loss: Any) -> "Task":
        """The same task under another loss."""
        changed = copy.copy(self)
        changed.loss = resolve_loss(loss)
        _check_levels(self.name, self.kind, self.levels, changed.loss)
        changed._check_loss()
        return changed

    def make_head(self, name: str) -> Any:
        """A new head layer: a copy of `head`, or the kind's default.

        Raises:
            ValueError: The kind needs `units` and has none.
        """
        if self.head is not None:
            config = keras.saving.serialize_keras_object(self.head)
            config["config"]["name"] = name
            # A head that was called before would come back built for that.
            config.pop("build_config", None)
            return keras.saving.deserialize_keras_object(config)
        row = KINDS[self.kind]
        if self.units is None and row.needs_units:
            raise ValueError(
                f"`units` of task {self.name!r} is needed to make its head: "
                f"{row.needs_units}. "
                f"Write Task({self.name!r}, {self.kind!r}, units=…) or pass "
                "`head`."
            )
        return row.head(self, name)

    @property
    def features(self) -> tuple[str, ...]:
        """The axes of the features that the default head reads."""
        return KINDS[self.kind].features

    @property
    def target_input(self) -> str | None:
        """The key of the model's input that the head reads beside features.

        Heads of the kind `"sequence"` are called on `[features, target
        tokens]`. The tokens are those of the input that the head's
        `target_input` names, else of `{name}_in`. None for all other kinds.
        """
        if not KINDS[self.kind].reads_target:
            return None
        given = getattr(self.head, "target_input", None)
        return given or f"{self.name}_in"

    def _check_loss(self) -> None:
        sparse = keras.losses.SparseCategoricalCrossentropy
        if isinstance(self.loss, sparse) and not KINDS[self.kind].indexed:
            kinds = [repr(name) for name, kind in KINDS.items() if kind.indexed]
            raise ValueError(
                f"`loss` of task {self.name!r} takes class indices, which only "
                f"the kinds {', '.join(kinds)} have. Received: "
                f"kind={self.kind!r}, loss={self.loss.name!r}. Change one of "
                "them."
            )

    def _check_width(self, units: int | None) -> int | None:
        """Units, or those that the kind fixes."""
        row = KINDS[self.kind]
        width = row.width(self.levels) if row.width else None
        if None not in (units, width) and units != width:
            raise ValueError(
                f"`units` of task {self.name!r} must be {width}, the width of "
                f"its kind {self.kind!r}, or be left out. Received: "
                f"units={units}"
            )
        return units if width is None else width

    def get_config(self) -> dict[str, Any]:
        """The arguments, serialized as Keras does."""
        serialize = keras.saving.serialize_keras_object
        return {
            "name": self.name,
            "kind": self.kind,
            "units": self.units,
            "levels": self.levels,
            "loss": serialize_loss(self.loss),
            "metrics": [serialize(m) for m in self.metrics],
            "direction": self._direction,
            "head": None if self.head is None else serialize(self.head),
            "weight": self.weight,
            "unit": self.unit,
            "class_names": self.class_names,
        }

    @classmethod
    def from_config(cls, config: Mapping[str, Any]) -> "Task":
        """The task that `get_config` described."""
        revive = keras.saving.deserialize_keras_object
        config = dict(config)
        name, kind = config.pop("name"), config.pop("kind")
        for key in ("loss", "head"):
            if isinstance(config[key], dict):
                config[key] = revive(config[key])
        config["metrics"] = [
            revive(m) if isinstance(m, dict) else m for m in config["metrics"]
        ]
        return cls(name, kind, **config)


def resolve_loss(identifier: Any) -> Any:
    """A `keras.losses.Loss` from an instance, a name, a config or a function.

    Raises:
        ValueError: `identifier` is none of these.
    """
    try:
        loss = keras.losses.get(identifier)
    except ValueError as error:
        raise ValueError(
            "`loss` must be a Keras loss, its name or a function (y_true, "
            f"y_pred). Received: {identifier!r}. {error}"
        ) from error
    if isinstance(loss, keras.losses.Loss):
        return loss
    for cls in vars(keras.losses).values():
        # `get("mse")` gives the function; its class says more about it.
        if (
            isinstance(cls, type)
            and issubclass(cls, keras.losses.Loss)
            and cls is not keras.losses.Loss
            and _snake(cls.__name__) == getattr(loss, "__name__", None)
        ):
            return cls()
    return FunctionLoss(loss)


def serialize_loss(loss: Any) -> Any:
    """The config of a loss, or of a dict of them, with all its arguments.

    Keras 3.15 forgets `delta` of Huber and `axis` of CosineSimilarity.
    """
    if isinstance(loss, Mapping):
        return {name: serialize_loss(one) for name, one in loss.items()}
    if not isinstance(loss, keras.losses.Loss):
        return keras.saving.serialize_keras_object(loss)
    serialized = keras.saving.serialize_keras_object(loss)
    accepted = inspect.signature(type(loss)).parameters
    for key, value in getattr(loss, "_fn_kwargs", {}).items():
        if key in accepted:
            serialized["config"].setdefault(key, value)
    return serialized


@keras.saving.register_keras_serializable(package=PACKAGE)
class FunctionLoss(keras.losses.Loss):
    """A function `(y_true, y_pred)` as a loss, averaged over the batch."""

    def __init__(
        self, function: Callable[..., Any], name: str | None = None
    ) -> None:
        super().__init__(name=name or getattr(function, "__name__", "loss"))
        self.function = function

    def call(self, y_true: Any, y_pred: Any) -> Any:
        """Losses of the examples, not yet averaged."""
        return self.function(y_true, y_pred)

    def get_config(self) -> dict[str, Any]:
        """The function by its registered name."""
        return {
            "name": self.name,
            "function": keras.saving.serialize_keras_object(self.function),
        }

    @classmethod
    def from_config(cls, config: Mapping[str, Any]) -> "FunctionLoss":
        """The loss that `get_config` described."""
        function = keras.saving.deserialize_keras_object(config["function"])
        return cls(function, name=config["name"])


def metric_name(metric: Any) -> str:
    """The name under which Keras logs a metric."""
    if isinstance(metric, str):
        return metric
    return str(getattr(metric, "name", None) or metric.__name__)


def metric_direction(name: str) -> str:
    """`"max"` if more of a metric is better, as its name tells."""
    return "max" if any(m in name for m in _MORE_IS_BETTER) else "min"


def _check_numbers(name: str, kind: str, units: Any, weight: Any) -> None:
    if not isinstance(weight, Real) or not 0 <= float(weight) < math.inf:
        raise ValueError(
            f"`weight` of task {name!r} must be a finite number that is not "
            f"negative. Received: weight={weight!r}"
        )
    if units is None:
        return
    if not isinstance(units, Integral) or units < 1:
        raise ValueError(
            f"`units` of task {name!r} must be a positive integer. "
            f"Received: units={units!r}"
        )
    if KINDS[kind].indexed and units == 1:
        raise ValueError(
            f"`units` of task {name!r} must count at least two classes. "
            "Received: units=1. Use the kind 'binary' for one sigmoid unit."
        )


def _check_levels(
    name: str, kind: str, levels: Any, loss: Any
) -> list[float] | None:
    """The levels of a quantile task, None for the other kinds."""
    if kind != "quantile":
        if levels is not None:
            raise ValueError(
                f"`levels` of task {name!r} is for the kind 'quantile' only. "
                f"Received: kind={kind!r}, levels={levels!r}"
            )
        return None
    told: list[float] | None = getattr(loss, "levels", None)
    if levels is None:
        if told is not None:
            return told
        raise ValueError(
            f"`levels` of task {name!r} is needed: which quantiles to learn. "
            f"Write Task({name!r}, 'quantile', levels=[0.1, 0.5, 0.9])."
        )
    checked = checked_levels(levels)
    if told is not None and told != checked:
        raise ValueError(
            f"`levels` of task {name!r} must be those of its loss, {told}, or "
            f"be left out. Received: levels={checked}"
        )
    return checked


def _snake(name: str) -> str:
    return "".join(f"_{c.lower()}" if c.isupper() else c for c in name)[1:]
