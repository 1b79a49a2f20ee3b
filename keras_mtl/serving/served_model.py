"""One version of a model, asked by name: what both of a server's APIs share."""

import contextlib
import dataclasses
import json
from collections.abc import Iterator, Mapping
from http import HTTPStatus
from pathlib import Path
from typing import Any

import numpy as np
import tensorflow as tf

from keras_mtl.serving.configs import served_name
from keras_mtl.serving.export import EXTRA, MODEL_CARD, REQUEST
from keras_mtl.serving.input_checks import check_fit
from keras_mtl.serving.labels import read_labels
from keras_mtl.serving.session import (
    SessionModel,
    Signature,
    open_session,
    reason,
)
from keras_mtl.serving.versions import version_directory


class Refused(Exception):
    """A request that gets no answer; the message tells its sender why.

    Args:
        status: The status in HTTP.
        message: The reason.
    """

    def __init__(self, status: HTTPStatus, message: str) -> None:
        super().__init__(message)
        self.status = status


@contextlib.contextmanager
def refusing_bad_values() -> Iterator[None]:
    """Turns a `ValueError` about a request into a refusal."""
    try:
        yield
    except ValueError as error:
        raise Refused(HTTPStatus.BAD_REQUEST, str(error)) from error


@dataclasses.dataclass(frozen=True)
class ServedModel:
    """A loaded version.

    Attributes:
        folder: Where it lies.
        name: What it is asked by.
        version: Its number.
        labels: Other names of this version.
        session: The model in its session.
        timeout: Seconds that a request may run.
    """

    folder: Path
    name: str
    version: int
    labels: frozenset[str]
    session: SessionModel
    timeout: float

    def check_address(
        self, name: str, version: int | None, label: str | None = None
    ) -> None:
        """Refuses requests to other models and versions.

        Raises:
            Refused: It is none of ours.
        """
        if label and label not in self.labels:
            raise Refused(
                HTTPStatus.BAD_REQUEST,
                f"Unrecognized servable version label: {label}. This server "
                f"has version {self.version} of {self.name!r}, with the "
                f"labels {sorted(self.labels)}.",
            )
        if name != self.name or version not in (None, self.version):
            asked = "Latest" if version is None else "Specific"
            number = "" if version is None else f", {version}"
            raise Refused(
                HTTPStatus.NOT_FOUND,
                f"Servable not found for request: {asked}({name}{number}). "
                f"This server has version {self.version} of {self.name!r}.",
            )

    def signature(self, name: str) -> Signature:
        """What an endpoint takes and gives.

        Raises:
            Refused: There is none of this name.
        """
        if (found := self.session.signatures.get(name)) is None:
            raise Refused(
                HTTPStatus.BAD_REQUEST,
                f"There is no signature {name!r}. The model has: "
                f"{sorted(self.session.signatures)}",
            )
        return found

    def run(
        self,
        signature: str,
        inputs: Mapping[str, np.ndarray],
        timeout: float | None = None,
    ) -> dict[str, np.ndarray]:
        """The outputs of a signature.

        Args:
            signature: Its name.
            inputs: Arrays by input name.
            timeout: Seconds that the sender still waits.

        Returns:
            Arrays by output name.

        Raises:
            Refused: The inputs do not fit, or it takes too long.
        """
        with refusing_bad_values():
            check_fit(inputs, self.signature(signature).inputs)
        limit = min(self.timeout, self.timeout if timeout is None else timeout)
        try:
            outputs = self.session.run(signature, inputs, limit)
        except tf.errors.DeadlineExceededError as error:
            raise Refused(
                HTTPStatus.GATEWAY_TIMEOUT,
                f"The model took longer than {limit:.3g} s.",
            ) from error
        except (tf.errors.InternalError, tf.errors.ResourceExhaustedError) as e:
            raise Refused(HTTPStatus.INTERNAL_SERVER_ERROR, reason(e)) from e
        except (tf.errors.OpError, ValueError) as error:
            raise Refused(HTTPStatus.BAD_REQUEST, reason(error)) from error
        return {name: np.asarray(y) for name, y in outputs.items()}

    def extra(self, name: str) -> Any:
        """What a JSON file beside the model holds; None if there is none."""
        try:
            text = (self.folder / EXTRA / name).read_text("utf-8")
            return json.loads(text)
        except (OSError, ValueError):
            return None

    @property
    def card(self) -> Any:
        """The model card, if `export` has written the model."""
        return self.extra(MODEL_CARD)

    @property
    def example(self) -> Any:
        """A request of the right shape, likewise."""
        return self.extra(REQUEST)


@contextlib.contextmanager
def open_model(path: Path, timeout: float) -> Iterator[ServedModel]:
    """Loads a version as TF Serving does.

    Args:
        path: Its directory, or the model's, of which the newest is taken.
        timeout: Seconds that a request may run.

    Yields:
        The model.

    Raises:
        ValueError: There is none, or it or its file of labels is broken.
    """
    folder = version_directory(path.expanduser()).resolve()
    # A SavedModel that lies under no number is its first version.
    numbered = folder.name.isascii() and folder.name.isdigit()
    model_dir = folder.parent if numbered else folder
    number = int(folder.name) if numbered else 1
    labels = read_labels(model_dir.parent).get(model_dir.name, {})
    with open_session(folder) as session:
        yield ServedModel(
            folder,
            served_name(model_dir.name),
            number,
            frozenset(k for k, version in labels.items() if version == number),
            session,
            timeout,
        )
