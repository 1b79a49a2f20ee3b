"""Asks a running TF Serving, over gRPC or REST."""

import random
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any, Protocol, TypeVar
from urllib.parse import urlsplit

import numpy as np
import tensorflow as tf

from keras_mtl.serving.input_checks import check_fit, check_names
from keras_mtl.serving.session import Signature, TensorInfo
from keras_mtl.serving.signatures import ALL_TASKS, EXAMPLES

# Pauses before a request is sent again, doubled each time.
_FIRST_PAUSE = 0.1
_LONGEST_PAUSE = 2.0

Answer = TypeVar("Answer")


class Transport(Protocol):
    """One of TF Serving's two APIs, for one model.

    Methods raise a `ConnectionError` where the server cannot be reached or is
    not ready, a `TimeoutError` where the time is up, a `ValueError` where it
    refuses the request, and a `RuntimeError` otherwise.
    """

    def signatures(self, timeout: float) -> dict[str, Signature]:
        """What the model's signatures take and give."""
        ...

    def predict(
        self,
        name: str,
        signature: Signature,
        inputs: Mapping[str, np.ndarray],
        outputs: Sequence[str],
        timeout: float,
    ) -> dict[str, np.ndarray]:
        """At least the outputs that are asked for."""
        ...

    def close(self) -> None:
        """Ends connections."""
        ...


class Client:
    """Asks a model of a running TensorFlow Serving.

    A client may be used from several threads.

    Args:
        address: `"grpc://host:8500"` or `"http://host:8501"`, also `https`.
            gRPC is faster; it needs the package `tensorflow-serving-api`.
        model: The model's name.
        version: One of its versions; by default the newest.
        label: The label of a version, in place of its number; see
            `label_version`.
        max_batch: As many rows go into one request at most. The default is
            that of the batching configuration of `write_configs`.
        retries: How often a request is sent again to a server that cannot be
            reached or is not ready (`UNAVAILABLE`, 503), after growing
            pauses. All other errors are raised at once.

    Raises:
        ValueError: `address` is none, the package for it is missing, or both
            `version` and `label` are given.

    Example:
    >>> client = Client("http://localhost:8501", "digits")  # doctest: +SKIP
    >>> client.predict(images, tasks=["parity"])["parity"]  # doctest: +SKIP
    """

    def __init__(
        self,
        address: str,
        model: str,
        *,
        version: int | None = None,
        label: str | None = None,
        max_batch: int = 32,
        retries: int = 4,
    ) -> None:
        if max_batch < 1 or retries < 0:
            raise ValueError(
                "`max_batch` must be positive and `retries` not negative. "
                f"Received: max_batch={max_batch!r}, retries={retries!r}"
            )
        if version is not None and label is not None:
            raise ValueError(
                "One of `version` and `label` must be left out. Received: "
                f"version={version!r}, label={label!r}"
            )
        self._transport = _transport(address, model, version, label)
        self._max_batch = max_batch
        self._retries = retries
        self._known: dict[str, Signature] | None = None

    def __enter__(self) -> "Client":
        return self

    def __exit__(self, *error: object) -> None:
        self.close()

    def close(self) -> None:
        """Ends connections."""
        self._transport.close()

    def signatures(self, timeout: float = 30.0) -> dict[str, Signature]:
        """What the model's signatures take and give, by name.

        Args:
            timeout: Seconds for all of it.

        Returns:
            The signatures, as the server tells them. It is asked once, and
            again when it has refused a request.

        Raises:
            ConnectionError: The server cannot be reached.
            TimeoutError: The time is up.
            ValueError: There is no such model or version.
        """
        return self._signatures(time.monotonic() + timeout)

    def predict(
        self,
        inputs: Any,
        tasks: str | Sequence[str] | None = None,
        timeout: float = 30.0,
    ) -> dict[str, np.ndarray]:
        """The outputs for some rows.

        Args:
            inputs: Arrays by input name, with rows in front; or one array for
                a model of one input. Strings may be `str` or `bytes`.
            tasks: Which outputs to ask for, by default all. The signature
                with the fewest outputs that has them is asked, so that others
                need not be computed.
            timeout: Seconds for all of it: requests, and pauses between them.

        Returns:
            An array for each task. Strings come as `bytes`.

        Raises:
            ConnectionError: The server cannot be reached, or is not ready.
            TimeoutError: The time is up.
            ValueError: The inputs do not fit the signature, there is no such
                task, or the server refuses the request.
            RuntimeError: The server fails.
        """
        deadline = time.monotonic() + timeout
        name, wanted = _choose(self._signatures(deadline), tasks)
        signature = self._signatures(deadline)[name]
        arrays = _fitted(inputs, signature.inputs)
        parts = [
            self._ask(name, signature, batch, wanted, deadline)
            for batch in _batches(arrays, self._max_batch)
        ]
        if len(parts) == 1:
            return parts[0]
        return {
            key: np.concatenate([part[key] for part in parts]) for key in wanted
        }

    def _signatures(self, deadline: float) -> dict[str, Signature]:
        if self._known is None:
            self._known = self._persist(self._transport.signatures, deadline)
        return self._known

    def _ask(
        self,
        name: str,
        signature: Signature,
        batch: Mapping[str, np.ndarray],
        wanted: Sequence[str],
        deadline: float,
    ) -> dict[str, np.ndarray]:
        def ask(timeout: float) -> dict[str, np.ndarray]:
            return self._transport.predict(
                name, signature, batch, wanted, timeout
            )

        try:
            outputs = self._persist(ask, deadline)
        except ValueError:
            self._known = None  # maybe the server has another version now
            raise
        return {key: outputs[key] for key in wanted}

    def _persist(
        self, ask: Callable[[float], Answer], deadline: float
    ) -> Answer:
        """Asks again while the server is not there, and there is time."""
        pause = _FIRST_PAUSE
        for left in reversed(range(self._retries + 1)):
            if (time_left := deadline - time.monotonic()) <= 0:
                raise TimeoutError("`timeout` is over before the request.")
            try:
                return ask(time_left)
            except ConnectionError:
                # At random: many clients do not come back all at once.
                wait = random.uniform(pause / 2, pause)
                if not left or time.monotonic() + wait >= deadline:
                    raise
            time.sleep(wait)
            pause = min(2 * pause, _LONGEST_PAUSE)
        raise AssertionError("unreachable")


def _transport(
    address: str, model: str, version: int | None, label: str | None
) -> Transport:
    parts = urlsplit(address)
    if parts.scheme in ("http", "https") and parts.netloc:
        from keras_mtl.serving.rest_client import RestTransport

        return RestTransport(address, model, version, label)
    if parts.scheme == "grpc" and parts.netloc:
        from keras_mtl.serving.grpc_client import GrpcTransport

        return GrpcTransport(parts.netloc, model, version, label)
    raise ValueError(
        "`address` must be like 'grpc://host:8500' or 'http://host:8501'. "
        f"Received: address={address!r}"
    )


def _choose(
    signatures: Mapping[str, Signature], tasks: str | Sequence[str] | None
) -> tuple[str, list[str]]:
    """The signature to ask, and which of its outputs to keep."""
    if ALL_TASKS not in signatures:
        raise ValueError(
            f"The model has no signature {ALL_TASKS!r}, but "
            f"{sorted(signatures)}; `keras_mtl.export` writes one."
        )
    every = signatures[ALL_TASKS]
    wanted = [tasks] if isinstance(tasks, str) else list(tasks or every.outputs)
    unknown = [task for task in wanted if task not in every.outputs]
    if unknown:
        raise ValueError(
            f"`tasks` must be of {sorted(every.outputs)}. Received: {unknown}"
        )
    able = [
        name
        for name, signature in signatures.items()
        if set(wanted) <= set(signature.outputs) and name != EXAMPLES
    ]
    # Of equal ones that with all tasks, for it is warm.
    best = min(able, key=lambda n: (len(signatures[n].outputs), n != ALL_TASKS))
    return best, wanted


def _fitted(
    inputs: Any, infos: Mapping[str, TensorInfo]
) -> dict[str, np.ndarray]:
    if not isinstance(inputs, Mapping):
        if len(infos) != 1:
            raise ValueError(
                f"`inputs` must be a dict with arrays for {sorted(infos)}. "
                f"Received: {type(inputs).__name__}"
            )
        inputs = {name: inputs for name in infos}
    check_names(inputs, infos)
    arrays = {
        name: _converted(name, value, infos[name])
        for name, value in inputs.items()
    }
    check_fit(arrays, infos)
    return arrays


def _converted(name: str, value: Any, info: TensorInfo) -> np.ndarray:
    """An array of the signature's dtype, if its values survive that."""
    try:
        array = np.asarray(value)
    except ValueError as error:
        raise ValueError(f"Input {name!r} is no array: {error}") from error
    dtype = np.dtype(tf.as_dtype(info.dtype).as_numpy_dtype)
    if dtype.kind == "O":
        return _strings(name, array)
    if array.dtype == dtype:
        return array
    if np.can_cast(array.dtype, dtype, "same_kind"):
        with np.errstate(over="ignore"):
            cast = array.astype(dtype)
        # Integers that are too large would become others.
        if dtype.kind == "f" or np.array_equal(cast, array):
            return cast
    raise ValueError(
        f"Input {name!r} must be {info.dtype}. Received: {array.dtype}"
        + (" with values that do not fit" if array.dtype.kind in "iu" else "")
    )


def _strings(name: str, array: np.ndarray) -> np.ndarray:
    strings = np.empty(array.shape, object)
    for index, value in np.ndenumerate(array):
        if not isinstance(value, (str, bytes)):
            raise ValueError(
                f"Input {name!r} must be strings. Received: {value!r} of type "
                f"{type(value).__name__}"
            )
        strings[index] = value.encode() if isinstance(value, str) else value
    return strings


def _batches(
    arrays: Mapping[str, np.ndarray], size: int
) -> Iterator[dict[str, np.ndarray]]:
    rows = max((len(x) for x in arrays.values() if x.ndim), default=1)
    for start in range(0, rows, size):
        yield {
            name: x[start : start + size] if x.ndim else x
            for name, x in arrays.items()
        }
