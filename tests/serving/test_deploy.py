import json

import keras

from keras_mtl import Task
from keras_mtl.builders import hard_sharing
from keras_mtl.cli.export import export_file
from keras_mtl.cli.output import new_console


def decoded(model):
    """What a recipe would deploy."""
    outputs = dict(model.output)
    outputs["digit"] = keras.ops.argmax(outputs["digit"], axis=-1)
    return keras.Model(model.input, outputs)


def test_the_card_of_what_a_recipe_deploys_has_its_tasks(tmp_path):
    model = hard_sharing(
        keras.Input((4,), name="x"),
        [
            Task("digit", "multiclass", units=2, class_names=["zero", "one"]),
            Task("size", "regression", unit="mm"),
        ],
        [keras.layers.Dense(3)],
    )
    model.save(tmp_path / "model.keras")
    export_file(
        new_console(),
        tmp_path / "model.keras",
        tmp_path / "saved" / "m",
        deploy=decoded,
    )
    extra = tmp_path / "saved" / "m" / "1" / "assets.extra"
    digit, size = json.loads((extra / "model_card.json").read_text())["tasks"]
    assert digit["class_names"] == ["zero", "one"]
    assert (digit["kind"], digit["dtype"]) == ("multiclass", "int32")
    assert size["unit"] == "mm"
