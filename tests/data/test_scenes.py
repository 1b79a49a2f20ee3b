import numpy as np
import pytest

from keras_mtl.data import OBJECT_CLASSES, SCENE_CLASSES, draw_scenes
from keras_mtl.data.scene_layouts import MAX_OBJECTS, draw_layout
from keras_mtl.data.scene_rendering import render
from keras_mtl.data.scene_shapes import SOLIDS, normal
from keras_mtl.heads import DecodeBoxes, encode_boxes

COUNT, SIZE, SEED = 40, (64, 64), 5  # two chunks


@pytest.fixture(scope="module")
def scenes():
    return draw_scenes(COUNT, SIZE, SEED)


def objects(scenes, i):
    there = scenes["classes"][i] >= 0
    return scenes["boxes"][i][there], scenes["classes"][i][there]


def test_shapes_dtypes_and_names(scenes):
    assert {k: (v.shape, v.dtype.name) for k, v in scenes.items()} == {
        "image": ((COUNT, *SIZE, 3), "uint8"),
        "segmentation": ((COUNT, *SIZE), "int32"),
        "depth": ((COUNT, *SIZE), "float32"),
        "boxes": ((COUNT, MAX_OBJECTS, 4), "float32"),
        "classes": ((COUNT, MAX_OBJECTS), "int32"),
    }
    assert SCENE_CLASSES == (
        "wall", "floor", "ceiling", "ball", "box", "cone", "cylinder"
    )  # fmt: skip
    assert SCENE_CLASSES[3:] == OBJECT_CLASSES
    assert draw_scenes(2, (24, 40))["image"].shape == (2, 24, 40, 3)
    assert draw_scenes(0)["image"].shape == (0, 64, 64, 3)


@pytest.mark.parametrize("start", [3, 31])
def test_a_scene_depends_on_seed_and_number_alone(scenes, start):
    again = draw_scenes(5, SIZE, SEED, start)
    other = draw_scenes(5, SIZE, SEED + 1, start)
    for name, values in scenes.items():
        np.testing.assert_array_equal(again[name], values[start : start + 5])
        assert (other[name] != again[name]).any()


def test_all_classes_occur_and_depths_are_those_of_a_room():
    scenes = draw_scenes(100, (32, 32))
    share = np.bincount(scenes["segmentation"].ravel()) / scenes["depth"].size
    assert len(share) == 7
    assert (share[:3] > 0.05).all()
    assert (share[3:] > 0.015).all()
    assert 0.5 < scenes["depth"].min() < 2
    assert 6 < scenes["depth"].max() < 10
    numbers = (scenes["classes"] >= 0).sum(axis=1)
    assert numbers.min() >= 1
    assert set(numbers) >= {2, 3, 4, 5}


def test_boxes_are_tight_around_what_shows(scenes):
    for i in range(COUNT):
        covered = np.zeros((4, *SIZE), bool)
        segmentation = scenes["segmentation"][i]
        for box, kind in zip(*objects(scenes, i), strict=True):
            left, top, right, bottom = box.astype(int)
            mask = segmentation == 3 + kind
            inside = mask[top:bottom, left:right]
            for edge in (inside[0], inside[-1], inside[:, 0], inside[:, -1]):
                assert edge.any()
            covered[kind, top:bottom, left:right] = True
        for kind in range(4):
            assert covered[kind][segmentation == 3 + kind].all()


def test_slivers_are_left_out(scenes):
    for i in range(COUNT):
        shown = np.bincount(scenes["segmentation"][i].ravel(), minlength=7)
        kinds = objects(scenes, i)[1]
        assert (shown[3:] >= 12 * np.bincount(kinds, minlength=4)).all()


def test_padding_stands_behind_the_objects(scenes):
    absent = scenes["classes"] < 0
    assert absent.any()
    assert (np.diff(absent.astype(int), axis=1) >= 0).all()
    assert (scenes["classes"][absent] == -1).all()
    assert (scenes["boxes"][absent] == 0).all()


def test_boxes_become_labels_of_a_detection_head_and_return(scenes):
    for i in range(COUNT):
        boxes, classes = objects(scenes, i)
        target = encode_boxes(boxes, classes, 4, (64, 64), stride=1)
        found = DecodeBoxes(len(boxes), stride=1)(target[None])
        found = {k: np.asarray(v)[0] for k, v in found.items()}
        assert (found["scores"] == 1).all()
        order = np.lexsort([*found["boxes"].T, found["classes"]])
        expected = np.lexsort([*boxes.T, classes])
        np.testing.assert_allclose(
            found["boxes"][order], boxes[expected], atol=1e-4
        )
        np.testing.assert_array_equal(
            found["classes"][order], classes[expected]
        )


def contains(name, point, size):
    """Whether a point in an object's frame lies inside it."""
    x, y, z = point
    a, height, b = size
    round_, low = np.hypot(x, z), (y > 0) & (y < height)
    return {
        "ball": np.sqrt(x**2 + (y - a) ** 2 + z**2) < a,
        "box": (abs(x) < a) & (abs(z) < b) & low,
        "cone": (round_ < a * (1 - y / height)) & low,
        "cylinder": (round_ < a) & low,
    }[name]


def who_is_at(layout, points):
    """-1 in the open, -2 outside of the room, else the class of the object."""
    inside = ((points > layout["low"]) & (points < layout["high"])).all(-1)
    found = np.where(inside, -1, -2)
    for slot in np.flatnonzero(layout["kind"] >= 0):
        x, z = layout["place"][slot]
        x, y, z = points[..., 0] - x, points[..., 1], points[..., 2] - z
        c, s = np.cos(layout["turn"][slot]), np.sin(layout["turn"][slot])
        kind = layout["kind"][slot]
        point = (c * x - s * z, y, s * x + c * z)
        within = contains(OBJECT_CLASSES[kind], point, layout["size"][slot])
        found[within] = kind
    return found


def test_depth_ends_where_the_first_thing_in_the_way_begins(scenes):
    height, width = SIZE
    checked = 0
    for i in range(COUNT):
        layout = draw_layout(np.random.default_rng([SEED, i]), 1.0)
        if (layout["kind"] >= 0).sum() != len(objects(scenes, i)[1]):
            continue  # one hardly shows, and was left out
        checked += 1
        # Directions from the definitions, pixel by pixel, in float64.
        rows, columns = np.indices(SIZE) + 0.5
        u = (columns - width / 2) / (height / 2) * layout["tangent"]
        v = (height / 2 - rows) / (height / 2) * layout["tangent"]
        pitch, yaw = layout["pitch"], layout["yaw"]
        forward = np.array(
            [
                np.sin(yaw) * np.cos(pitch),
                -np.sin(pitch),
                np.cos(yaw) * np.cos(pitch),
            ]
        )
        right = np.array([np.cos(yaw), 0, -np.sin(yaw)])
        up = np.cross(forward, right)
        rays = forward + u[..., None] * right + v[..., None] * up
        eye = np.array([0, layout["eye"], 0])
        depth = scenes["depth"][i].astype("float64")
        segmentation = scenes["segmentation"][i]
        for part in (*np.linspace(0.02, 0.98, 25), 0.9995):
            at = eye + (part * depth)[..., None] * rays
            assert (who_is_at(layout, at) == -1).mean() > 0.999
        behind = who_is_at(layout, eye + (1.0005 * depth)[..., None] * rays)
        expected = np.where(segmentation > 2, segmentation - 3, -2)
        # Rays that graze an edge may be past it already.
        assert (behind == expected).mean() > 0.995
        level = (eye + depth[..., None] * rays)[..., 1]
        assert np.abs(level[segmentation == 1]).max() < 1e-4
        ceiling = level[segmentation == 2]
        np.testing.assert_allclose(ceiling, layout["high"][1], atol=1e-4)
    assert checked > COUNT // 3


@pytest.mark.parametrize(
    "name, origin, direction, size, t, expected",
    [
        ("ball", (0, 1, -5), (0, 0, 1), (1, 2, 1), 4, (0, 0, -1)),
        ("ball", (1.1, 5, 0), (0, -1, 0), (1, 2, 1), None, None),
        ("box", (0, 1, -5), (0, 0, 2), (1, 3, 2), 1.5, (0, 0, -1)),
        ("box", (5, 1, 0), (-1, 0, 0), (1, 3, 2), 4, (1, 0, 0)),
        ("box", (0.5, 7, 0.5), (0, -1, 0), (1, 3, 2), 4, (0, 1, 0)),
        ("cone", (0, 1, -5), (0, 0, 1), (1, 2, 1), 4.5, (0, 0.4472, -0.8944)),
        ("cone", (0, 2.1, -5), (0, 0, 1), (1, 2, 1), None, None),
        ("cone", (0, -0.1, -5), (0, 0, 1), (1, 2, 1), None, None),
        ("cylinder", (0, 1, -5), (0, 0, 1), (1, 2, 1), 4, (0, 0, -1)),
        ("cylinder", (0.5, 5, 0), (0, -1, 0), (1, 2, 1), 3, (0, 1, 0)),
        ("cylinder", (0, 2.1, -5), (0, 0, 1), (1, 2, 1), None, None),
        ("cylinder", (0, -0.1, -5), (0, 0, 1), (1, 2, 1), None, None),
        ("ball", (0, 1, 5), (0, 0, 1), (1, 2, 1), None, None),  # behind
        ("box", (0, 1, 5), (0, 0, 1), (1, 2, 1), None, None),
        ("cone", (0, 1, 5), (0, 0, 1), (1, 2, 1), None, None),
        ("cylinder", (0, 1, 5), (0, 0, 1), (1, 2, 1), None, None),
    ],
)
def test_rays_that_hit_by_hand(name, origin, direction, size, t, expected):
    origin, direction = (
        [np.array([float(c)]) for c in v] for v in (origin, direction)
    )
    with np.errstate(divide="ignore", invalid="ignore"):
        found = SOLIDS[name](origin, direction, size)
    if t is None:
        assert np.isinf(found).all()
        return
    assert found == pytest.approx(t, abs=1e-6)
    kind = np.array([list(SOLIDS).index(name)])
    point = [o + found * d for o, d in zip(origin, direction, strict=True)]
    n = np.ravel(normal(kind, point, size))
    assert n == pytest.approx(expected, abs=1e-4)


def rendered(layout):
    stacked = {name: np.stack([value]) for name, value in layout.items()}
    with np.errstate(divide="ignore", invalid="ignore"):
        return render(stacked, SIZE, np.zeros((1, *SIZE, 3)))


def test_objects_throw_shadows_and_the_lamp_does_not_shine_through():
    layout = draw_layout(np.random.default_rng([SEED, 0]), 1.0)
    full = rendered(layout)
    empty = rendered(layout | {"kind": np.full(MAX_OBJECTS, -1)})
    room = full["segmentation"] < 3
    assert not room.all()
    np.testing.assert_array_equal(full["depth"][room], empty["depth"][room])
    assert (full["depth"] <= empty["depth"]).all()
    brightness = [part["image"][room].astype(int) for part in (full, empty)]
    assert (brightness[0] <= brightness[1]).all()
    darker = (brightness[0] < brightness[1]).any(axis=-1)
    assert 0.005 < darker.mean() < 0.5


@pytest.mark.parametrize(
    "arguments, message",
    [
        ({"count": -1}, "`count` must be .* not negative. Received: count=-1"),
        ({"count": 1, "seed": 0.5}, "`seed` must be an integer .* seed=0.5"),
        ({"count": 1, "start": -2}, "`start` must be an integer .* start=-2"),
        ({"count": 1, "size": (4, 64)}, r"`size` .* Received: size=\(4, 64\)"),
        ({"count": 1, "size": (64,)}, r"`size` .* Received: size=\(64,\)"),
    ],
)
def test_arguments_that_make_no_sense(arguments, message):
    with pytest.raises(ValueError, match=message):
        draw_scenes(**arguments)
