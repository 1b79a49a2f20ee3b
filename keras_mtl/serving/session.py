"""SavedModels run the way TF Serving runs them: by the session loader."""

import contextlib
import dataclasses
import logging
import re
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import tensorflow as tf

# What stands in messages before the reason.
_PREAMBLE = (
    " ",
    "\t",
    "Graph execution error",
    "Detected at node",
    "Exception encountered when calling",
    "in user code",
)
_COLOUR = re.compile(r"\x1b\[[0-9;]*m")


@dataclasses.dataclass(frozen=True)
class TensorInfo:
    """An input or output of a signature.

    Attributes:
        dtype: TensorFlow's name of the dtype.
        shape: The sizes, `None` where any will do; `None` alone if even the
            rank is unknown.
    """

    dtype: str
    shape: tuple[int | None, ...] | None


@dataclasses.dataclass(frozen=True)
class Signature:
    """The named tensors that an endpoint takes and gives."""

    inputs: dict[str, TensorInfo]
    outputs: dict[str, TensorInfo]


class SessionModel:
    """A SavedModel in an open session; `open_session` makes it."""

    def __init__(self, session: Any, definitions: Mapping[str, Any]) -> None:
        self._session = session
        self.definitions = {
            name: definition
            for name, definition in definitions.items()
            if not is_internal(name)
        }
        self.signatures = {
            name: signature(definition)
            for name, definition in self.definitions.items()
        }

    def run(
        self,
        name: str,
        inputs: Mapping[str, Any],
        timeout: float | None = None,
    ) -> dict[str, Any]:
        """The outputs of a signature, as arrays by name.

        Args:
            name: The signature's name.
            inputs: Arrays by name.
            timeout: Seconds until TensorFlow gives up.
        """
        definition = self.definitions[name]
        fetches = {k: t.name for k, t in definition.outputs.items()}
        feed = {definition.inputs[k].name: v for k, v in inputs.items()}
        options = None
        if timeout is not None:
            options = tf.compat.v1.RunOptions(
                timeout_in_ms=max(1, int(1000 * timeout))
            )
        outputs: dict[str, Any] = self._session.run(fetches, feed, options)
        return outputs


@contextlib.contextmanager
def open_session(version_dir: Path) -> Iterator[SessionModel]:
    """Loads a version as TF Serving does.

    `tf.saved_model.load` is another road: it accepts models at which TF
    Serving fails.

    Args:
        version_dir: The directory with `saved_model.pb`.

    Yields:
        The loaded model.

    Raises:
        ValueError: The SavedModel is broken.
    """
    graph = tf.Graph()
    session = tf.compat.v1.Session(graph=graph)
    # Closed by hand: `with session` would end eager execution meanwhile.
    with contextlib.closing(session):
        try:
            with graph.as_default(), _without_deprecation_warning():
                meta_graph = tf.compat.v1.saved_model.load(
                    session, ["serve"], str(version_dir)
                )
        except (
            OSError,
            RuntimeError,
            ValueError,
            tf.errors.OpError,
        ) as error:
            raise ValueError(
                "`path` must hold a whole SavedModel with the tag 'serve'. "
                f"Received: {str(version_dir)!r}; it is broken, TensorFlow "
                f"says: {reason(error)}. Export the model again."
            ) from error
        yield SessionModel(session, meta_graph.signature_def)


def reason(error: BaseException) -> str:
    """What an error of TensorFlow or Keras says, in one line."""
    text = _COLOUR.sub("", str(getattr(error, "message", None) or error))
    lines = [
        line
        for line in text.splitlines()
        if line.strip() and not line.startswith(_PREAMBLE)
    ]
    return lines[0].rstrip(". ") if lines else type(error).__name__


def is_internal(name: str) -> bool:
    """Whether a signature is TensorFlow's own, as its init op is."""
    return name.startswith("__")


def signature(definition: Any) -> Signature:
    """What an endpoint takes and gives, from its `SignatureDef`."""
    return Signature(_infos(definition.inputs), _infos(definition.outputs))


def tensor_info(tensor: Any) -> TensorInfo:
    """What a tensor, or the specification of one, is."""
    shape = tensor.shape
    return TensorInfo(
        dtype=tf.as_dtype(tensor.dtype).name,
        shape=None if shape.rank is None else tuple(shape.as_list()),
    )


def _infos(tensors: Mapping[str, Any]) -> dict[str, TensorInfo]:
    return {
        name: tensor_info(
            tf.TensorSpec(
                tensors[name].tensor_shape, tf.as_dtype(tensors[name].dtype)
            )
        )
        for name in sorted(tensors)
    }


@contextlib.contextmanager
def _without_deprecation_warning() -> Iterator[None]:
    # The session loader is deprecated in Python, and still what TF Serving
    # does in C++.
    logger = tf.get_logger()
    level = logger.level
    logger.setLevel(logging.ERROR)
    try:
        yield
    finally:
        logger.setLevel(level)
