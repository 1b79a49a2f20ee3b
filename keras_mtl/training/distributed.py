"""Whether a model was made for several devices, and where its state goes."""

from contextlib import AbstractContextManager, nullcontext
from typing import Any


def distributed(model: Any) -> bool:
    """Whether a strategy for several replicas, or workers, trains the model.

    It may find only one device: what it cannot do, it then cannot do either.
    """
    strategy = getattr(model, "distribute_strategy", None)
    return strategy is not None and (
        strategy.num_replicas_in_sync > 1
        or type(strategy).__name__
        in ("MirroredStrategy", "MultiWorkerMirroredStrategy")
    )


def variable_scope(model: Any) -> AbstractContextManager[Any]:
    """Where variables that join those of the model are to be made."""
    if not distributed(model):
        return nullcontext()
    return model.distribute_strategy.scope()  # type: ignore[no-any-return]
