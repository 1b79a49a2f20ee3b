"""How often each source of a mixture is drawn from."""

import difflib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from numbers import Real
from typing import Any

import numpy as np


@dataclass(frozen=True)
class EpochStart:
    """What is known when an epoch begins.

    Attributes:
        sizes: Examples of each source, `(S,)`.
        names: Names of the sources.
        epoch: The epoch, from 0.
        logs: The logs of the epochs before, in order.
    """

    sizes: Any
    names: Sequence[str]
    epoch: int = 0
    logs: Sequence[Mapping[str, float]] = ()


class Rates:
    """How often each source is drawn from, epoch by epoch.

    Extend it with `weights`, for rates of your own.
    """

    #: Whether an epoch's rates depend on the logs of the epochs before.
    adaptive = False

    #: Whether they are told by what happens where tasks meet in a batch.
    needs_mixed_batches = False

    def check(self, names: Sequence[str]) -> None:
        """Holds arguments against the names of the sources."""

    def weights(self, now: EpochStart) -> Any:
        """Positive numbers that rates are proportional to.

        Args:
            now: What is known when an epoch begins.

        Returns:
            An array `(S,)`.
        """
        raise NotImplementedError


class Power(Rates):
    """Rates proportional to a power of the size, `n ** (1 / temperature)`.

    A temperature of 1 draws every example equally often; a higher one draws
    small sources more often than their size, towards equal rates.

    Args:
        temperature: Positive; `float("inf")` for equal rates.

    Raises:
        ValueError: A temperature that is not positive.

    Reference:
        Arivazhagan et al., "Massively Multilingual Neural Machine Translation
        in the Wild" (2019), https://arxiv.org/abs/1907.05019
    """

    def __init__(self, temperature: float) -> None:
        if not isinstance(temperature, Real) or not temperature > 0:
            raise ValueError(
                "`temperature` must be a positive number: 1 for rates "
                "proportional to sizes, more for rates that are more equal. "
                f"Received: {temperature!r}"
            )
        self.temperature: float = float(temperature)

    def weights(self, now: EpochStart) -> Any:
        """See `Rates`."""
        return now.sizes ** (1 / self.temperature)


class Explicit(Rates):
    """Rates that are given.

    Args:
        rates: Positive numbers by source. They must sum to 1.

    Raises:
        ValueError: Rates that are not positive or do not sum to 1.
    """

    def __init__(self, rates: Mapping[str, float]) -> None:
        for name, rate in rates.items():
            if not isinstance(rate, Real) or not 0 < rate < np.inf:
                raise ValueError(
                    f"`rates[{name!r}]` must be a positive number. Received: "
                    f"{rate!r}. Leave the source out of the mixture if it is "
                    "not to be drawn from."
                )
        total = sum(rates.values())
        if abs(total - 1) > 1e-6:
            raise ValueError(
                f"`rates` must sum to 1. Received: {dict(rates)}, which sum "
                f"to {total:g}. Divide each by {total:g}."
            )
        self.rates = dict(rates)

    def check(self, names: Sequence[str]) -> None:
        """Each source has a rate and each rate a source."""
        for name in [*self.rates, *names]:
            if name in names and name in self.rates:
                continue
            close = difflib.get_close_matches(name, names, n=1)
            hint = f" Did you mean {close[0]!r}?" if close else ""
            raise ValueError(
                "`rates` must have one number for each source. Expected the "
                f"keys {list(names)}. Received: {list(self.rates)}.{hint}"
            )

    def weights(self, now: EpochStart) -> Any:
        """See `Rates`."""
        return np.array([self.rates[name] for name in now.names])


class Annealed(Rates):
    """From rates proportional to sizes to nearly equal ones.

    In epoch e of E, from 1, rates are proportional to n^α with
    α = 1 - 0.8 (e - 1) / (E - 1): first all data count alike, and in the end,
    where interference harms most, tasks nearly do. Later epochs go on with
    the last rates.

    Args:
        epochs: E, two or more.

    Raises:
        ValueError: Fewer than two epochs.

    Reference:
        Stickland and Murray, "BERT and PALs", ICML 2019,
        https://arxiv.org/abs/1902.02671
    """

    def __init__(self, epochs: int) -> None:
        if not isinstance(epochs, int) or epochs < 2:
            raise ValueError(
                "`epochs` of annealed rates must be an integer, two or more. "
                f"Received: {epochs!r}"
            )
        self.epochs = epochs

    def weights(self, now: EpochStart) -> Any:
        """See `Rates`."""
        done = min(now.epoch / (self.epochs - 1), 1.0)
        return now.sizes ** (1 - 0.8 * done)


class ByLoss(Rates):
    """Sources that learn slowly are drawn from more often.

    The rate of a source is proportional to (L / L₀)^strength, where L is a
    log of the last epoch and L₀ of the first in which it was positive:
    GradNorm's relative inverse rate of training, on validation data. The
    first epoch has rates proportional to sizes.

    Args:
        monitor: The log to read, by source, such as
            `{"reviews": "val_sentiment_loss"}`.
        strength: 0 for equal rates, more to react more strongly.

    Raises:
        ValueError: No log for a source, or a negative strength.
    """

    adaptive = True

    def __init__(
        self, monitor: Mapping[str, str], strength: float = 1.0
    ) -> None:
        if not isinstance(strength, Real) or not 0 <= strength < np.inf:
            raise ValueError(
                "`strength` must be a number that is not negative. Received: "
                f"{strength!r}"
            )
        self.monitor: dict[str, str] = dict(monitor)
        self.strength: float = float(strength)

    def check(self, names: Sequence[str]) -> None:
        """Each source has a log."""
        _check_monitor(self.monitor, names)

    def weights(self, now: EpochStart) -> Any:
        """See `Rates`."""
        if not now.logs:
            return now.sizes
        found = []
        for name in now.names:
            key = self.monitor[name]
            last = _read_log(now.logs[-1], key, name)
            logged = (log[key] for log in now.logs if key in log)
            first = next((x for x in logged if 0 < x < np.inf), np.nan)
            found.append(last / first)
        ratios = np.asarray(found, "float64")
        # A loss of 0, or one that broke, says nothing about its source.
        ratios = np.where(np.isfinite(ratios) & (ratios > 0), ratios, 1.0)
        # No source is starved for ever: bounded to a hundredth of the most.
        return np.maximum(ratios, 0.01 * ratios.max()) ** self.strength


class ByConflict(Rates):
    """Sources whose gradients agree with the others' are drawn more often.

    The rate of a source is proportional to n · exp(strength · c), where n is
    its size and c, in [-1, 1], a log of the last epoch: the mean cosine of
    its tasks' gradients with those of the other tasks. So rates never leave
    those proportional to sizes by more than a factor of exp(2 · strength)
    between two sources, and no source is starved. The first epoch has rates
    proportional to sizes.

    MultiDDS learns the logits of a softmax over sources by this cosine, with
    gradients of validation data on the one side. Here the cosine moves the
    logits itself, and both sides are gradients that the step has already:
    the model needs a balancer of gradients, and mixed batches, in which
    different tasks meet.

    Args:
        monitor: The log to read, by source, or a list of logs whose mean
            counts, such as `{"reviews": "sentiment_cosine"}`.
        strength: 0 for rates proportional to sizes, more to react more
            strongly; below 0, sources in conflict are drawn more often.

    Raises:
        ValueError: No log for a source, or a strength that is not finite.

    Reference:
        Wang, Tsvetkov and Neubig, "Balancing Training for Multilingual Neural
        Machine Translation", ACL 2020, https://arxiv.org/abs/2004.06748
    """

    adaptive = True
    needs_mixed_batches = True

    def __init__(
        self,
        monitor: Mapping[str, str | Sequence[str]],
        strength: float = 1.0,
    ) -> None:
        if not isinstance(strength, Real) or not np.isfinite(float(strength)):
            raise ValueError(
                f"`strength` must be a finite number. Received: {strength!r}"
            )
        self.monitor: dict[str, list[str]] = {
            name: [keys] if isinstance(keys, str) else list(keys)
            for name, keys in monitor.items()
        }
        self.strength: float = float(strength)

    def check(self, names: Sequence[str]) -> None:
        """Each source has a log."""
        _check_monitor(self.monitor, names)

    def weights(self, now: EpochStart) -> Any:
        """See `Rates`."""
        if not now.logs:
            return now.sizes
        found = []
        for name in now.names:
            cosines = [
                _read_log(now.logs[-1], key, name) for key in self.monitor[name]
            ]
            known = [c for c in cosines if np.isfinite(c)]
            # A task that met no other conflicts with none.
            found.append(np.mean(known) if known else 0.0)
        return now.sizes * np.exp(self.strength * np.array(found))


def get(identifier: Any, temperature: float | None = None) -> Rates:
    """Rates from a name, a dict by source or an instance.

    Args:
        identifier: `"proportional"`, `"uniform"`, `"temperature"`, a dict of
            rates by source, or `Rates`.
        temperature: For `"temperature"`.

    Raises:
        ValueError: None of these.
    """
    if (temperature is not None) != (identifier == "temperature"):
        raise ValueError(
            "`temperature` belongs to rates='temperature', and to that alone. "
            f"Received: rates={identifier!r}, temperature={temperature!r}"
        )
    if isinstance(identifier, Rates):
        return identifier
    if isinstance(identifier, Mapping):
        return Explicit(identifier)
    if identifier == "proportional":
        return Power(1.0)
    if identifier == "uniform":
        return Power(float("inf"))
    if identifier == "temperature":
        assert temperature is not None
        return Power(temperature)
    raise ValueError(
        "`rates` must be 'proportional', 'uniform', 'temperature', a dict of "
        "rates by source, or an instance of keras_mtl.data.rates.Rates. "
        f"Received: {identifier!r}"
    )


def _check_monitor(monitor: Mapping[str, Any], names: Sequence[str]) -> None:
    if set(names) != set(monitor) or not all(monitor.values()):
        raise ValueError(
            "`monitor` must name a log for each source. Expected the keys "
            f"{list(names)}. Received: {dict(monitor)}."
        )


def _read_log(logs: Mapping[str, float], key: str, source: str) -> float:
    if key not in logs:
        raise ValueError(
            f"`monitor[{source!r}]` must name a log. Expected one of: "
            f"{sorted(logs)}. Received: {key!r}. Logs that begin with 'val_' "
            "need validation data; those that end in '_cosine' need a "
            "balancer of gradients, such as 'pcgrad'."
        )
    return logs[key]
