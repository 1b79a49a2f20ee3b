import pytest

from keras_mtl.analysis import compare
from keras_mtl.analysis.training import build_model, load_splits
from keras_mtl.recipe import load_recipe


def test_the_recipe_loads_and_builds_what_it_says(run, tmp_path):
    path = tmp_path / "houses.py"
    result = run("new", "houses.py")
    assert result.exit_code == 0
    assert "keras-mtl compare houses.py" in result.stdout
    assert "my_recipe" not in path.read_text()
    recipe = load_recipe(path)
    assert recipe.name == "houses"
    splits = load_splits(recipe, recipe.source())
    assert len(splits.train[0]) == 2000
    for way in recipe.sharings:
        model = build_model(recipe, recipe.tasks, sharing=way)
        assert list(model.output) == ["level", "alarm"]


@pytest.mark.slow
def test_the_recipe_can_be_learned(run, tmp_path):
    run("new", "houses")
    recipe = load_recipe(tmp_path / "houses.py")
    comparison, _ = compare(
        recipe, seeds=1, epochs=3, balancers=[], out=tmp_path / "runs"
    )
    for method in recipe.sharings:
        assert comparison.summary(method).test["alarm"].mean > 0.85


@pytest.mark.parametrize(
    ("name", "message"),
    [("2nd", "letters, digits and '_'"), ("a b.py", "Received: 'a b'")],
)
def test_names_that_are_none(run, tmp_path, name, message):
    result = run("new", name)
    assert result.exit_code == 2
    assert message in " ".join(result.stderr.split())
    assert not list(tmp_path.iterdir())


def test_nothing_is_overwritten(run, tmp_path):
    path = tmp_path / "mine.py"
    path.write_text("precious")
    result = run("new", "mine.py")
    assert result.exit_code == 2
    assert "is there already" in " ".join(result.stderr.split())
    assert path.read_text() == "precious"
