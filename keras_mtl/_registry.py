"""Registration with Keras and look-up by name, in one decorator."""

import difflib
from collections.abc import Callable, Iterator
from typing import Any, TypeVar

import keras

PACKAGE = "keras_mtl"

T = TypeVar("T", bound=Callable[..., Any])


class Registry:
    """Named classes or functions of one family.

    Args:
        family: What the entries are, in the singular, for messages
            ("balancer").
    """

    def __init__(self, family: str) -> None:
        self.family = family
        self._entries: dict[str, Callable[..., Any]] = {}

    def register(self, name: str) -> Callable[[T], T]:
        """Returns a decorator that files an object under `name`.

        Classes are registered with Keras too (package `keras_mtl`), so that
        `.keras` files bring them back.
        """

        def decorate(entry: T) -> T:
            if name in self._entries:
                raise ValueError(f"Two {self.family}s are named {name!r}.")
            self._entries[name] = entry
            if isinstance(entry, type):
                keras.saving.register_keras_serializable(package=PACKAGE)(entry)
            return entry

        return decorate

    def __iter__(self) -> Iterator[str]:
        return iter(sorted(self._entries))

    def __getitem__(self, name: str) -> Callable[..., Any]:
        """The entry called `name`, or by its class name, in any case."""
        if name in self._entries:
            return self._entries[name]
        for entry in self._entries.values():
            if entry.__name__.lower() == name.lower():
                return entry
        close = difflib.get_close_matches(name.lower(), self._entries, n=1)
        hint = f" Did you mean {close[0]!r}?" if close else ""
        raise ValueError(
            f"There is no {self.family} named {name!r}.{hint} "
            f"Expected one of: {', '.join(self)}."
        )
