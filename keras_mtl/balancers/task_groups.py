"""One method within groups of tasks, another one across the groups."""

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import numpy as np
from keras import ops

from keras_mtl.balancers.base import (
    Balancer,
    GradientBalancer,
    get,
    registry,
    serialize,
)
from keras_mtl.balancers.wrapper import (
    Wrapper,
    build_inner,
    inner_balancer,
    inner_head_weights,
    inner_weights,
)
from keras_mtl.linalg import at_least_float32
from keras_mtl.tasks import Task, TaskSet


@registry.register("task_groups")
class TaskGroups(Wrapper):
    """Balances tasks within groups, and the groups among each other.

    For many tasks of a few sorts: a sort does not count more for having more
    tasks, and a costly or strict method has few conflicts to solve. Within a
    group k, one method gives weights v_t to its tasks. Each group is then a
    task of its own, and another method gives weights u_k to those:

        h_k = Σ_{t∈k} v_t g_t,   L_k = Σ_{t∈k} v_t L_t,   H_kl = h_kᵀh_l
        d = Σ_k u_k h_k,   w_t = u_k v_t

    A group without a present task is absent. Each group of one task is passed
    on as its method weighs it.

    Args:
        groups: The groups, each a list of task names or of places in the
            order of tasks; a list of them, or a dict of them by name. Each
            task is in one group.
        within: The method within groups: a name, a config or a balancer of
            losses or gradients, of which each group gets one of its own; or a
            list of them, one for each group. Arguments by task name the tasks
            of that group.
        across: The method across groups. Arguments by task name the groups,
            where these have names.
        wrt: `"variables"` or `"features"`; by default as the methods have it,
            `"variables"` where they differ.
        update_every: By default that of the method that solves most often.

    Example:
    >>> from keras_mtl.balancers import aggregate
    >>> groups = TaskGroups([[0, 1], [2]], within="fixed", across="mgda")
    >>> _, weights = aggregate(
    ...     groups, [[1.0, 0.0], [1.0, 0.0], [0.0, 1.0]], losses=[1.0, 1.0, 1.0]
    ... )
    >>> [round(w, 4) for w in weights.tolist()]
    [0.2, 0.2, 0.8]

    Reference:
        A composition of methods, from no paper. Which tasks belong together is
        the question of Standley et al., "Which Tasks Should Be Learned
        Together in Multi-task Learning?", ICML 2020, arXiv:1905.07553. LibMTL
        and TorchJD weigh all tasks at once.
    """

    def __init__(
        self,
        groups: Sequence[Sequence[Any]] | Mapping[str, Sequence[Any]],
        within: Any = "fixed",
        across: Any = "mgda",
        wrt: str | None = None,
        update_every: int | None = None,
        name: str | None = None,
        **kwargs: Any,
    ) -> None:
        names, members = _parsed(groups)
        inside = _one_for_each(within, len(members))
        outside = inner_balancer(across, "across")
        _check_samples([*inside, outside])
        super().__init__(
            [*inside, outside],
            wrt=wrt,
            update_every=update_every,
            name=name,
            **kwargs,
        )
        self.group_names = names
        self.groups = members
        # The places of each group's tasks, once the tasks are known.
        self.places: tuple[tuple[int, ...], ...] = ()

    @property
    def within(self) -> list[Balancer]:
        """The method of each group."""
        return list(self.inner[:-1])

    @property
    def across(self) -> Balancer:
        """The method across groups."""
        return self.inner[-1]

    def bind(self, tasks: TaskSet) -> None:
        """Tells each group's method its tasks, and the outer one the groups."""
        self.tasks = tasks
        self.places = _places(self.groups, len(tasks), list(tasks))
        in_order = list(tasks.values())
        for balancer, places in zip(self.within, self.places, strict=True):
            balancer.bind(TaskSet([in_order[t] for t in places]))
        if self.group_names:
            # Of a group, there is no more to tell than its name.
            self.across.bind(
                TaskSet([Task(name, "regression") for name in self.group_names])
            )

    def build(self, input_shape: Sequence[int]) -> None:
        """Creates the states within, and u `(K,)` and v `(T,)` for heads."""
        num_tasks, num_groups = int(input_shape[0]), len(self.groups)
        if not self.places:
            self.places = _places(self.groups, num_tasks, None)

        self.within_weights = self.add_state(
            "within_weights", (num_tasks,), "ones"
        )
        self.across_weights = self.add_state(
            "across_weights", (num_groups,), "ones"
        )
        for balancer, places in zip(self.within, self.places, strict=True):
            build_inner(balancer, len(places))
        build_inner(self.across, num_groups)
        GradientBalancer.build(self, input_shape)

    def task_weights(self, gram: Any, losses: Any, present: Any) -> Any:
        """u_k v_t."""
        dtype = losses.dtype if gram is None else gram.dtype
        losses = at_least_float32(ops.cast(losses, dtype))
        wide = None if gram is None else at_least_float32(gram)
        v = self._by_group(
            [
                inner_weights(
                    balancer,
                    None if wide is None else _sub_matrix(wide, places),
                    ops.take(losses, places),
                    ops.take(present, places),
                )
                for balancer, places in zip(
                    self.within, self.places, strict=True
                )
            ]
        )
        members = ops.convert_to_tensor(self._members(), dtype=losses.dtype)
        products = None
        if wide is not None:
            combined = members * v[None, :]
            products = combined @ wide @ ops.transpose(combined)
            if not self.double_sampled:
                # Rounding leaves it not quite symmetric.
                products = 0.5 * (products + ops.transpose(products))
        u = inner_weights(
            self.across, products, *self._groups(v, losses, present)
        )
        _keep(self.within_weights, v, present)
        _keep(self.across_weights, u, self._present_groups(present))
        return ops.cast(v * ops.take(u, self._group_of()), dtype)

    def head_weights(self, weights: Any, losses: Any, present: Any) -> Any:
        """The product of the inner methods' factors, where they have any."""
        v = ops.cast(self.within_weights, weights.dtype)
        v = ops.where(present, v, ops.zeros_like(v))
        u = ops.cast(self.across_weights, weights.dtype)
        inside = [
            inner_head_weights(
                balancer,
                ops.take(v, places),
                ops.take(losses, places),
                ops.take(present, places),
            )
            for balancer, places in zip(self.within, self.places, strict=True)
        ]
        outside = inner_head_weights(
            self.across, u, *self._groups(v, losses, present)
        )
        if outside is None and all(factors is None for factors in inside):
            return None
        factors = self._by_group(
            [
                ops.ones((len(places),), dtype=weights.dtype)
                if own is None
                else ops.cast(own, weights.dtype)
                for own, places in zip(inside, self.places, strict=True)
            ]
        )
        if outside is None:
            return factors
        outside = ops.cast(outside, weights.dtype)
        return factors * ops.take(outside, self._group_of())

    def logged_loss(self, losses: Any) -> Any:
        """The outer method's, of the inner ones'."""
        return self.across.logged_loss(
            ops.stack(
                [
                    balancer.logged_loss(ops.take(losses, places))
                    for balancer, places in zip(
                        self.within, self.places, strict=True
                    )
                ]
            )
        )

    def get_config(self) -> dict[str, Any]:
        """The arguments."""
        groups = [list(group) for group in self.groups]
        return {
            **super().get_config(),
            "groups": dict(zip(self.group_names, groups, strict=True))
            if self.group_names
            else groups,
            "within": [serialize(balancer) for balancer in self.within],
            "across": serialize(self.across),
        }

    def _members(self) -> Any:
        """Which tasks are in which group, 0 or 1 `(K, T)`."""
        numbers = np.arange(len(self.places))
        return (numbers[:, None] == self._group_of()[None, :]).astype(float)

    def _group_of(self) -> Any:
        """Each task's group `(T,)`."""
        numbers = np.repeat(
            np.arange(len(self.places)), [len(p) for p in self.places]
        )
        return numbers[np.argsort(np.concatenate(self.places))]

    def _by_group(self, parts: list[Any]) -> Any:
        """Values `(T,)` in the order of tasks from those of each group."""
        order = np.argsort(np.concatenate(self.places))
        return ops.take(ops.concatenate(parts), order)

    def _present_groups(self, present: Any) -> Any:
        return ops.stack(
            [ops.any(ops.take(present, places)) for places in self.places]
        )

    def _groups(self, v: Any, losses: Any, present: Any) -> tuple[Any, Any]:
        """Losses of the groups `(K,)`, and which are present."""
        members = ops.convert_to_tensor(self._members(), dtype=losses.dtype)
        sums = ops.sum(members * (v * losses)[None, :], axis=1)
        there = self._present_groups(present)
        if self.across.needs_positive_losses:
            there = ops.logical_and(there, sums > 0)
        return sums, there


def _keep(variable: Any, values: Any, present: Any) -> None:
    values = ops.cast(values, variable.dtype)
    moves = ops.logical_and(present, ops.isfinite(values))
    variable.assign(ops.where(moves, values, variable))


def _sub_matrix(matrix: Any, places: Sequence[int]) -> Any:
    return ops.take(ops.take(matrix, places, axis=0), places, axis=1)


def _parsed(
    groups: Any,
) -> tuple[tuple[str, ...], tuple[tuple[Any, ...], ...]]:
    """Names, none for a list, and members of the groups."""
    names: tuple[str, ...] = ()
    members = groups
    if isinstance(groups, Mapping):
        names, members = tuple(map(str, groups)), groups.values()
    if (
        isinstance(groups, str)
        or not isinstance(members, Iterable)
        or not (members := list(members))
        or any(
            isinstance(group, str) or not isinstance(group, Sequence)
            for group in members
        )
        or not all(members)
    ):
        raise ValueError(
            "`groups` must be a list of lists of tasks, or a dict of such "
            "lists by a name for each group; none may be empty. "
            f"Received: groups={groups!r}"
        )
    return names, tuple(
        tuple(t if isinstance(t, str) else int(t) for t in group)
        for group in members
    )


def _places(
    groups: Sequence[Sequence[Any]], num_tasks: int, names: list[str] | None
) -> tuple[tuple[int, ...], ...]:
    """The groups with places for names."""
    known = dict(zip(names or (), range(num_tasks), strict=False))
    found = tuple(tuple(known.get(t, t) for t in group) for group in groups)
    if sorted(t for g in found for t in g if isinstance(t, int)) == list(
        range(num_tasks)
    ) and all(isinstance(t, int) for g in found for t in g):
        return found
    expected = names or f"the numbers from 0 to {num_tasks - 1}"
    raise ValueError(
        f"`groups` must hold each of the {num_tasks} tasks once: {expected}. "
        f"Received: groups={[list(group) for group in groups]}"
    )


def _one_for_each(within: Any, num_groups: int) -> list[Balancer]:
    if isinstance(within, (list, tuple)):
        if len(within) != num_groups:
            raise ValueError(
                "`within` must be one balancer, or a list of one for each of "
                f"the {num_groups} groups. Received: {len(within)}"
            )
        return [inner_balancer(one, "within") for one in within]
    config = serialize(inner_balancer(within, "within"))
    return [get(config) for _ in range(num_groups)]


def _check_samples(inner: Sequence[Balancer]) -> None:
    """Raises where one method wants two samples and another one."""
    methods = [b for b in inner if isinstance(b, GradientBalancer)]
    kinds = {b.double_sampled for b in methods if b.needs_gradients}
    if len(kinds) > 1:
        raise ValueError(
            "`within` and `across` must agree on the Gram matrix: of two "
            "halves of the batch, or of one batch. Received: "
            f"{', '.join(sorted({type(b).__name__ for b in methods}))}"
        )
