import re
import textwrap

import pytest

from keras_mtl.recipe import Recipe, Score, load_recipe
from keras_mtl.tasks import Task, TaskSet


def load(source, data_dir):
    raise NotImplementedError


def build(hp, tasks):
    raise NotImplementedError


def write(folder, text, name="mine.py"):
    path = folder / name
    path.write_text(textwrap.dedent(text))
    return path


def test_tasks_become_a_task_set_and_the_first_source_is_the_default():
    recipe = Recipe(
        "a-b_1.0", [Task("t", "binary")], load, build, sources=("one", "two")
    )
    assert isinstance(recipe.tasks, TaskSet)
    assert recipe.source() == "one"
    assert recipe.source("two") == "two"
    with pytest.raises(ValueError, match=r"no data source 'three'.*one, two"):
        recipe.source("three")


def test_the_first_way_of_sharing_is_the_default():
    tasks = [Task("t", "binary")]
    recipe = Recipe(
        "demo", tasks, load, build, sharings=("mmoe", "hard_sharing")
    )
    assert recipe.sharing() == "mmoe"
    assert recipe.sharing("hard_sharing") == "hard_sharing"
    with pytest.raises(ValueError, match=r"'ple'.*one of: mmoe, hard_sharing"):
        recipe.sharing("ple")


def test_a_recipe_without_ways_of_sharing_lets_nobody_choose():
    recipe = Recipe("demo", [Task("t", "binary")], load, build)
    assert recipe.sharing() is None
    with pytest.raises(ValueError, match=r"'mmoe'\. It offers none to choose"):
        recipe.sharing("mmoe")


def measure(model, x, truth):
    return 1.0


def test_a_source_may_be_labelled_for_some_tasks():
    score = Score("map", "max", measure)
    recipe = Recipe(
        "demo",
        [Task("t", "binary"), Task("u", "binary")],
        load,
        build,
        sources={"both": ["t", "u"], "one": ["u"]},
        scores={"t": [score]},
    )
    assert recipe.source() == "both"
    assert list(recipe.for_source("both").tasks) == ["t", "u"]
    assert recipe.for_source("both").scores == {"t": [score]}
    one = recipe.for_source("one")
    assert (list(one.tasks), one.scores) == (["u"], {})


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (("", "max", measure), "`name` of a score"),
        (("map", "up", measure), "`direction` of score 'map'.*'up'"),
        (("map", "max", 3), "`function of score map`.*must be a function"),
        (
            ("map", "max", lambda x: 1),
            r"called as function of score map\(model, x, truth\)",
        ),
    ],
)
def test_scores_are_checked(arguments, message):
    with pytest.raises(ValueError, match=message):
        Score(*arguments)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"name": "a/b"}, "`name` of a recipe.*Received: name='a/b'"),
        ({"name": ".."}, r"`name` of a recipe.*Received: name='\.\.'"),
        ({"tasks": []}, "`tasks` must hold at least one"),
        ({"load": lambda source: None}, r"called as load\(source, data_dir\)"),
        ({"build": lambda tasks: None}, r"called as build\(hp, tasks\)"),
        ({"build": 3}, "`build` of a recipe must be a function"),
        ({"epochs": 0}, "`epochs` of a recipe must be a positive integer"),
        ({"batch_size": 1.5}, "`batch_size` of a recipe.*batch_size=1.5"),
        ({"balancers": "pcgrad"}, "`balancers` of a recipe must be a list"),
        ({"sharings": "mmoe"}, "`sharings` of a recipe must be a list"),
        (
            {"sharings": ["none"]},
            r"names of builders.*hard_sharing.*\['none'\]",
        ),
        ({"sharings": ("mmoe", "mmoe")}, "must be different names"),
        ({"sources": ()}, "`sources` of a recipe must hold at least one"),
        (
            {"sources": {"one": ["u"]}},
            r"`sources\['one'\]` has keys that name no task: \['u'\]",
        ),
        (
            {"scores": {"u": []}},
            r"`scores` has keys that name no task: \['u'\]",
        ),
        ({"scores": {"t": ["map"]}}, "must be a list of keras_mtl.Score"),
        ({"pictures": lambda model: {}}, r"pictures\(model, x, truth\)"),
        ({"deploy": lambda: None}, r"called as deploy\(model\)"),
    ],
)
def test_arguments_are_checked(changes, message):
    arguments = {
        "name": "demo",
        "tasks": [Task("t", "binary")],
        "load": load,
        "build": build,
    }
    with pytest.raises(ValueError, match=message):
        Recipe(**{**arguments, **changes})


GOOD = """
    from keras_mtl.recipe import Recipe
    from keras_mtl.tasks import Task

    def load(source, data_dir): ...
    def build(hp, tasks): ...

    recipe = Recipe("good", [Task("t", "binary")], load, build)
    same = recipe
"""


def test_load_recipe_finds_the_one_recipe(tmp_path):
    assert load_recipe(write(tmp_path, GOOD)).name == "good"


def test_a_recipe_may_import_its_neighbours(tmp_path):
    write(tmp_path, "NAME = 'neighbour'", "a_helper_beside.py")
    text = textwrap.dedent(GOOD).replace('"good"', "NAME")
    path = write(tmp_path, "from a_helper_beside import NAME\n" + text)
    assert load_recipe(path).name == "neighbour"


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("x = 1\ny = missing\n", "NameError: name 'missing' is not defined"),
        ("x = (\n", "SyntaxError"),
        ("x = 1\n", "exactly one keras_mtl.Recipe.*Found: none"),
        (
            textwrap.dedent(GOOD) + "import dataclasses\n"
            "more = dataclasses.replace(recipe, name='two')\n",
            r"exactly one.*Found: \['good', 'two'\]",
        ),
    ],
)
def test_load_recipe_errors(tmp_path, text, message):
    with pytest.raises(ValueError, match=message):
        load_recipe(write(tmp_path, text))


def test_import_errors_tell_the_line_in_one_paragraph(tmp_path):
    path = write(tmp_path, "x = 1\n\ndef f():\n    return 1 / 0\n\nf()\n")
    with pytest.raises(ValueError, match=re.escape(f"({path}, line 4:")) as e:
        load_recipe(path)
    assert "\n" not in str(e.value)


def test_load_recipe_wants_a_python_file(tmp_path):
    with pytest.raises(FileNotFoundError, match=r"no recipe file .*none\.py"):
        load_recipe(tmp_path / "none.py")
    with pytest.raises(ValueError, match=r"ends in \.py.*recipe\.txt"):
        load_recipe(tmp_path / "recipe.txt")
