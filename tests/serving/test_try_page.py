import json
import re

import keras
import numpy as np
import pytest

import keras_mtl
from keras_mtl.serving import Client, export
from keras_mtl.serving.try_page import try_page
from tests.serving import chromium

browser = pytest.mark.skipif(
    chromium.PROGRAM is None, reason="needs chromium, a browser"
)


@pytest.fixture(scope="module")
def mixed(serve, tmp_path_factory):
    """A server of a model with an image, text and numbers."""
    keras.utils.set_random_seed(0)
    image = keras.Input((8, 8, 1), name="image")
    words = keras.Input((), dtype="string", name="words")
    size = keras.Input((3,), name="size")
    lookup = keras.layers.StringLookup(
        vocabulary=["red", "blue"], output_mode="one_hot"
    )
    h = keras.layers.Concatenate()(
        [
            keras.layers.Flatten()(image),
            keras.ops.reshape(lookup(words), (-1, 3)),
            size,
        ]
    )
    model = keras_mtl.MultiTaskModel(
        inputs=[image, words, size],
        outputs={
            "kind": keras.layers.Dense(3, activation="softmax")(h),
            "price": keras.layers.Dense(1)(h),
            "sold": keras.layers.Dense(1, activation="sigmoid")(h),
        },
        tasks=[
            keras_mtl.Task(
                "kind", "multiclass", units=3, class_names=["a", "b", "</p>"]
            ),
            keras_mtl.Task("price", "regression", unit="kEUR"),
            keras_mtl.Task("sold", "binary", class_names=["sold"]),
        ],
    )
    folder = tmp_path_factory.mktemp("saved") / "mixed"
    rows = {
        "image": np.eye(8)[None, :, :, None],
        "words": np.array(["red"]),
        "size": np.array([[1, 2, 3]]),
    }
    return serve(export(model, folder, warmup=rows))


def test_the_page_has_the_model_and_needs_nothing_else(mixed):
    page = try_page(mixed.model)
    assert "<title>mixed, version 1</title>" in page
    (script,) = re.findall(r'type="application/json">(.*)</script>', page)
    model = json.loads(script)
    assert set(model["signature"]["inputs"]) == {"image", "words", "size"}
    assert model["tasks"][0]["class_names"] == ["a", "b", "</p>"]
    assert model["example"]["instances"][0]["words"] == "red"
    assert "</p>" not in script
    assert not re.findall(r"(?:src|href)=\"(?!data:)", page)


def test_a_model_that_export_did_not_write(echo):
    assert '"example": null' in try_page(echo.model)


@browser
@pytest.mark.slow
def test_a_person_tries_the_model(mixed):
    with chromium.Chromium(mixed.rest_address + "/") as page:
        page.until("document.querySelectorAll('section').length === 3")
        first = page.run("document.querySelector('#request').textContent")
        page.run("document.querySelector('[type=button]').click()")  # clear
        at = page.run(
            "(r => [r.left, r.top, r.width])"
            "(document.querySelector('canvas').getBoundingClientRect())"
        )
        left, top, width = at
        page.drag(
            [(left + width * t / 10, top + width * t / 10) for t in (2, 5, 8)]
        )
        page.run("document.querySelector('[name=words]').value = 'blue'")
        for i in range(3):
            field = f"document.querySelector('[name=\"size[{i}]\"]')"
            page.run(f"{field}.value = '{i}.5'")
        page.run("document.querySelector('#answers').replaceChildren()")
        page.run("document.querySelector('form button:last-child').click()")
        page.until("document.querySelectorAll('section').length === 3")
        shown = {
            task: page.run(
                f"document.querySelector('[data-task={task}]').innerText"
            )
            for task in ("kind", "price", "sold")
        }
        request = page.run("document.querySelector('#request').textContent")
        assert page.problems() == []
    (example,) = json.loads(first.partition("\n")[2])["instances"]
    assert example == mixed.model.example["instances"][0]
    sent = json.loads(request.partition("\n")[2])["instances"][0]
    assert sent["words"] == "blue" and sent["size"] == [0.5, 1.5, 2.5]
    image = np.array(sent["image"])
    assert image.shape == (8, 8, 1)
    assert image[4, 4, 0] > 0.9 and image[0, 7, 0] == 0
    with Client(mixed.rest_address, "mixed") as client:
        answer = client.predict({k: [v] for k, v in sent.items()})
    best = int(answer["kind"][0].argmax())
    first = shown["kind"].split("\n")[1]
    assert first.split("\t")[0] == ["a", "b", "</p>"][best]
    assert f"{answer['price'][0, 0]:.4g}" in shown["price"]
    assert "kEUR" in shown["price"]
    assert "sold" in shown["sold"].split("\n")[1]


@browser
@pytest.mark.slow
def test_images_are_uploaded_and_planes_are_drawn(serve, tmp_path):
    photo = keras.Input((16, 16, 3), name="photo")
    brightness = keras.ops.sum(photo, axis=-1, keepdims=True)
    tasks = [
        keras_mtl.Task(
            "areas", "multiclass", units=2, class_names=["sky", "sea"]
        ),
        keras_mtl.Task("depth", "regression", unit="m"),
        keras_mtl.Task("tags", "tagging", units=2, class_names=["O", "B"]),
        keras_mtl.Task("none", "regression"),
    ]
    both = keras.ops.concatenate([brightness, 1 - brightness], axis=-1)
    outputs = {
        "areas": both,
        "depth": brightness,
        "tags": both[:, 0],
        "none": keras.ops.log(brightness[:, 0, 0] - 9),
    }
    model = keras_mtl.MultiTaskModel(inputs=photo, outputs=outputs, tasks=tasks)
    server = serve(export(model, tmp_path / "scenes"))
    white = tmp_path / "white.png"
    keras.utils.save_img(white, np.full((40, 40, 3), 255), scale=False)
    with chromium.Chromium(server.rest_address + "/") as page:
        page.until("document.querySelectorAll('section').length === 4")
        page.run("document.querySelector('select').value = '1'")
        page.upload("[type=file]", white)
        page.until(
            "document.querySelector('canvas').getContext('2d')"
            ".getImageData(8, 8, 1, 1).data[0] === 255"
        )
        page.run("document.querySelector('#answers').replaceChildren()")
        page.run("document.querySelector('form button:last-child').click()")
        page.until("document.querySelectorAll('section').length === 4")
        shown = {
            task: page.run(
                f"document.querySelector('[data-task={task}]').innerText"
            )
            for task in outputs
        }
        canvases = page.run(
            "document.querySelectorAll('section canvas').length"
        )
        assert page.problems() == []
    assert canvases == 2
    assert "sky" in shown["areas"] and "sea" not in shown["areas"]
    assert "3 (black)" in shown["depth"]
    assert shown["tags"].split() == ["tags", *["O"] * 16]
    assert "NaN" in shown["none"]


@browser
@pytest.mark.slow
def test_mistakes_are_shown(echo):
    with chromium.Chromium(echo.rest_address + "/") as page:
        page.run("document.querySelector('[name=\"count[0]\"]').value = 'x'")
        page.run("document.querySelector('form button:last-child').click()")
        page.until("document.querySelector('.error')")
        shown = page.run("document.querySelector('.error').textContent")
        assert "“x” is no number" in shown
        page.run("document.querySelector('[name=\"count[0]\"]').value = '1.5'")
        page.run("document.querySelector('form button:last-child').click()")
        page.until(
            "document.querySelector('.error').textContent.includes('int32')"
        )
