"""The drawing of who shares what: boxes, places, counts."""

import itertools

import keras
import pytest
from keras import layers

from keras_mtl import MultiTaskModel, Task, builders
from keras_mtl.callbacks import sharing_drawing as module
from tests.graph import cases

TASKS = [Task("a", "binary"), Task("b", "regression"), Task("c", "regression")]


def tree():
    blocks = [layers.Dense(4, name=n) for n in ("low", "middle", "high")]
    return builders.hard_sharing(
        keras.Input((3,), name="x"), TASKS, blocks, {"a": 3, "b": 3, "c": 1}
    )


def laid_out(model):
    tasks = list(model.variables_by_task())
    rows = module._rows(module._boxes(model, tasks))
    module._order(rows, tasks)
    return rows


def test_rows_and_columns_of_a_tree():
    rows = [[b.names[0] for b in row] for row in laid_out(tree())]
    assert rows == [
        ["input x"],
        ["low"],
        ["middle", "c_middle"],
        ["high", "c_high"],
        ["a", "b", "c"],
    ]


def test_boxes_have_the_tasks_of_their_variables():
    boxes = {b.names[0]: b for row in laid_out(tree()) for b in row}
    assert boxes["low"].tasks == {"a", "b", "c"}
    assert boxes["high"].tasks == {"a", "b"}
    assert boxes["c_high"].tasks == {"c"}
    assert boxes["low"].parameters == 3 * 4 + 4


def test_a_layer_called_in_two_heads_is_shared_in_both_boxes():
    inputs, outputs = cases.layer_called_in_two_heads()
    model = MultiTaskModel(
        inputs, outputs, tasks=[Task(k, "regression") for k in outputs]
    )
    both = [b for row in laid_out(model) for b in row if b.names == ["both"]]
    assert [b.tasks for b in both] == [{"a", "b"}] * 2
    assert {b.readers for b in both} == {frozenset("a"), frozenset("b")}


@pytest.mark.parametrize("case", cases.GRAPHS, ids=lambda case: case.__name__)
def test_arrows_go_down_and_no_box_covers_another(case):
    inputs, outputs = case()
    model = MultiTaskModel(
        inputs,
        outputs,
        tasks=[
            Task(k, "regression", units=y.shape[-1]) for k, y in outputs.items()
        ],
    )
    for merge in (False, True):
        tasks = list(outputs)
        boxes = module._boxes(model, tasks)
        before = sum(b.parameters for b in {id(b): b for b in boxes}.values())
        if merge:
            boxes = module._merged(boxes)
            assert sum(b.parameters for b in boxes) == before
        rows = module._rows(boxes)
        module._order(rows, tasks)
        assert sum(map(len, rows)) == len(boxes)
        for row in rows:
            columns = sorted(b.column for b in row)
            assert all(y - x >= 1 for x, y in itertools.pairwise(columns))
            for box in row:
                assert all(source.row < box.row for source in box.sources)


def test_a_large_trunk_is_one_box():
    x = h = keras.Input((4,))
    for i in range(40):
        h = layers.Add(name=f"add_{i}")([h, layers.Dense(4, name=f"d_{i}")(h)])
    model = MultiTaskModel(
        x,
        {k: layers.Dense(1, name=k)(h) for k in "ab"},
        tasks=[Task(k, "regression") for k in "ab"],
    )
    figure = module.draw_sharing(model)
    texts = [t.get_text() for t in figure.axes[0].texts]
    assert "d_0 … add_39\n80 layers, 800" in texts
    assert sum("\n" in t for t in texts) == 3


def test_the_legend_counts_each_set_of_tasks():
    figure = module.draw_sharing(tree())
    lines = [t.get_text() for t in figure.axes[0].get_legend().get_texts()]
    assert lines == [
        "shared by all tasks: 16 trainable (14%)",
        "shared by a, b: 40 trainable (36%)",
        "a alone: 5 trainable (5%)",
        "b alone: 5 trainable (5%)",
        "c alone: 45 trainable (41%)",
    ]
