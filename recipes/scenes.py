"""Rooms seen by a camera: objects, the class of each pixel, and depth.

    keras-mtl compare recipes/scenes.py

trains each task alone and the three together in three ways, three seeds each,
and compares them on 1,000 test pictures. This has not been run to its end: no
difference between sharing and single-task models is known yet. What is known is
one model, `hard_sharing` with the first seed, trained as

    keras-mtl train recipes/scenes.py

trains it, but one bad pixel of one training picture has been mended since:

                                       hard_sharing
    boxes         mAP at .5            .786
    segmentation  mean IoU             .799
                  pixel accuracy       .952
    depth         relative error       7.9 %
                  absolute error       .28 m
                  δ < 1.25             .967

Parameters, of the three single-task models together:

    single-task     2,153,664
    hard_sharing      736,736
    cross_stitch    2,143,218
    mtan              762,976

The rooms are drawn (`keras_mtl.data.draw_scenes`), 64 × 64 pixels, in a minute
or two: 16,000 to learn from, 500 for validation and 1,000 for tests, by the
scenes' numbers. How large a room is cannot be seen but for the usual sizes of
rooms and objects: part of the depth's error is there to stay.

    keras-mtl compare recipes/scenes.py --data nyu_v2 --data-dir DIR

takes photographs instead: NYU Depth V2 at 96 × 128, with 13 classes of pixels
and depth, no boxes. TensorFlow Datasets must have prepared it in `--data-dir`,
or `nyuv2_96x128.zip` must lie there. The 16,000 pictures to learn from are
enlarged crops of 699 of the 795 training pictures; the other 96, in runs of 12,
are for validation. It has not been measured; a picture has three times the
pixels of a drawn one.

    keras-mtl compare recipes/scenes.py --data tfds --data-dir DIR

takes any data set of TensorFlow Datasets that has boxes, once it is prepared
there: PASCAL VOC 2007, or what `BOXED`, below, names. Tasks are the boxes, and
which classes of objects there are. It has not been measured.

With `PRETRAINED = "imagenet"`, below, features come from the MobileNetV2 of
`keras.applications`, with its weights; `FROZEN` keeps some of its layers as
they are, and `BACKBONE_RATE` lets the others learn slower than what is new.
Where the weights cannot be fetched, a warning says so, and it starts from
random ones. What they are worth here has not been measured.
"""

import warnings
from collections.abc import Callable, Iterable, Sequence
from functools import reduce
from operator import getitem
from typing import Any

import keras
import numpy as np

import keras_mtl
from keras_mtl.data import (
    NYU_V2_CLASSES,
    OBJECT_CLASSES,
    SCENE_CLASSES,
    draw_scenes,
    load_nyu_v2,
    tasks_from_tfds,
)
from keras_mtl.heads import (
    AbsoluteRelativeError,
    CenterNetLoss,
    DecodeBoxes,
    DeltaAccuracy,
    DepthHead,
    DetectionHead,
    SegmentationHead,
    encode_boxes,
)
from keras_mtl.metrics import mean_average_precision

SIZE, NYU_V2_SIZE = (64, 64), (96, 128)
STRIDE = 4  # pixels per cell of the features that heads read
# The first scene of each part, and how many it has: none is in two of them.
SCENES = {
    "train": (0, 16000),
    "validation": (16000, 500),
    "test": (16500, 1000),
}
CROPS = 16000  # of the training pictures of NYUv2
# The data set of `--data tfds`: any with boxes, the features that hold them
# and their classes, and the splits to learn from, to validate and to test.
BOXED, PLACES, KINDS = "voc/2007", "objects/bbox", "objects/label"
SPLITS = ("train", "validation", "test")
# How many classes boxes have, in the data that was loaded last.
objects_have = {"classes": len(OBJECT_CLASSES)}
BATCH, EPOCHS = 16, 5
STEPS = EPOCHS * CROPS // BATCH
# "imagenet" or a file of weights: features are then MobileNetV2's.
PRETRAINED = None
# Of its 17 blocks, so many stay as they are, with what is before them.
FROZEN = 0
# Its learning rate, as a part of that of the layers that are new.
BACKBONE_RATE = 0.1
# What the names of its layers begin with, as far as it is used.
BACKBONE_LAYERS = ("Conv1", "bn_Conv1", "expanded_conv_", "block_")


def load(source: str, data_dir: str | None) -> keras_mtl.Splits:
    """Pictures `(n, height, width, 3)`, uint8, and the labels of each task."""
    objects_have["classes"] = len(OBJECT_CLASSES)
    if source == "tfds":
        return boxed(data_dir)
    return nyu_v2(data_dir) if source == "nyu_v2" else scenes()


def scenes() -> keras_mtl.Splits:
    """Drawn rooms; `truth` has the boxes themselves."""
    parts = {
        name: draw_scenes(count, SIZE, start=start)
        for name, (start, count) in SCENES.items()
    }
    boxes = {name: objects(part) for name, part in parts.items()}
    return keras_mtl.Splits(
        **{
            name: (
                part["image"],
                {
                    "boxes": np.stack(
                        [
                            encode_boxes(
                                *one,
                                num_classes=len(OBJECT_CLASSES),
                                shape=[side // STRIDE for side in SIZE],
                                stride=STRIDE,
                            )
                            for one in zip(*boxes[name], strict=True)
                        ]
                    ),
                    "segmentation": part["segmentation"].astype("int8"),
                    "depth": part["depth"],
                },
            )
            for name, part in parts.items()
        },
        truth={
            name: {
                "boxes": boxes[name],
                "segmentation": parts[name]["segmentation"],
                "depth": parts[name]["depth"],
            }
            for name in ("validation", "test")
        },
    )


def objects(part: dict[str, Any]) -> tuple[list[Any], list[Any]]:
    """Boxes `(n, 4)` and classes `(n,)` of each scene, without the filling."""
    there = part["classes"] >= 0
    return (
        [boxes[t] for boxes, t in zip(part["boxes"], there, strict=True)],
        [classes[t] for classes, t in zip(part["classes"], there, strict=True)],
    )


def nyu_v2(data_dir: str | None) -> keras_mtl.Splits:
    """Photographs of rooms, in the official split."""
    parts = load_nyu_v2(data_dir)
    known, test = parts["train"], parts["test"]
    # Neighbours show the same room: whole runs of them are held out.
    held_out = np.arange(len(known["image"])) // 12 % 8 == 7
    train = {key: values[~held_out] for key, values in known.items()}
    validation = {key: values[held_out] for key, values in known.items()}
    return keras_mtl.Splits(
        train=example(crops(train, CROPS)),
        validation=example(validation),
        test=example(test),
    )


def example(part: dict[str, Any]) -> tuple[Any, dict[str, Any]]:
    """Pictures and labels."""
    return part["image"], {
        "rooms": part["segmentation"].astype("int8"),
        "depth": part["depth"],
    }


def crops(part: dict[str, Any], count: int) -> dict[str, Any]:
    """Parts of the pictures, enlarged to their size, every second mirrored.

    What is enlarged looks nearer, so depths are divided by the same factor.
    """
    rng = np.random.default_rng(0)
    pictures, height, width, _ = part["image"].shape
    made: dict[str, Any] = {
        key: np.empty((count, *values.shape[1:]), values.dtype)
        for key, values in part.items()
    }
    for number in range(count):
        scale = rng.uniform(1, 1.5)
        rows, columns = (
            ((np.arange(side) + rng.uniform(0, (scale - 1) * side)) / scale)
            .astype(int)
            .clip(0, side - 1)
            for side in (height, width)
        )
        if number // pictures % 2:
            columns = columns[::-1]
        for key, values in part.items():
            crop = values[number % pictures][rows[:, None], columns]
            made[key][number] = crop / scale if key == "depth" else crop
    return made


def boxed(data_dir: str | None) -> keras_mtl.Splits:
    """Pictures of `BOXED`, brought to one size; `truth` has their boxes."""
    found = tasks_from_tfds(
        BOXED,
        {"boxes": (PLACES, KINDS), "present": KINDS},
        inputs="image",
        kinds={"present": "multilabel"},
        data_dir=data_dir,
        size=NYU_V2_SIZE,
        stride=STRIDE,
    )
    objects_have["classes"] = found.tasks["present"].units
    train, validation, test = map(found.dataset, SPLITS)
    return keras_mtl.Splits(
        train.shuffle(1000, seed=0).batch(BATCH).prefetch(2),
        validation.batch(BATCH),
        test.batch(BATCH),
        truth={
            part: {"boxes": boxes_in(found.builder, split)}
            for part, split in zip(
                ("validation", "test"), SPLITS[1:], strict=True
            )
        },
    )


def boxes_in(builder: Any, split: str) -> tuple[list[Any], list[Any]]:
    """Boxes `(n, 4)` in pixels and classes `(n,)` of each picture."""
    height, width = NYU_V2_SIZE
    boxes, classes = [], []
    for row in builder.as_dataset(split=split).as_numpy_iterator():
        places, kinds = (
            reduce(getitem, path.split("/"), row) for path in (PLACES, KINDS)
        )
        # Top, left, bottom, right from 0 to 1, as TFDS has them.
        boxes.append(places[:, [1, 0, 3, 2]] * [width, height, width, height])
        classes.append(kinds)
    return boxes, classes


def build(hp: Any, tasks: keras_mtl.TaskSet) -> keras_mtl.MultiTaskModel:
    """A tower of a stem and two more blocks, and a head for each task.

    Features keep a quarter of the picture's resolution from block to block. Its
    height and width are left open: multiples of 16 pixels.
    """
    sharing = hp.Choice("sharing", ["hard_sharing", "cross_stitch", "mtan"])
    width = hp.Int("width", 16, 64, step=16, default=32)
    backbone = hp.Choice(
        "backbone",
        ["small", "mobilenet_v2"],
        default="mobilenet_v2" if PRETRAINED else "small",
    )
    if backbone == "small":
        blocks = [
            stem(width),
            hourglass(width, "first"),
            hourglass(width, "second"),
        ]
    else:
        blocks = [
            keras.layers.Rescaling(1 / 127.5, -1, name="pixels"),
            mobilenet_v2(width),
            hourglass(width, "second"),
        ]
    # The first block is shared plainly in all ways.
    options = {} if sharing == "hard_sharing" else {"depth": 1}
    return keras_mtl.builders.registry[sharing](
        keras.Input((None, None, 3), dtype="uint8", name="image"),
        [
            OF_OBJECTS[name](objects_have["classes"])
            if name in OF_OBJECTS
            else task
            for name, task in tasks.items()
        ],
        blocks,
        **options,
    )


def stem(width: int) -> Any:
    """To a quarter of the resolution."""
    inputs = keras.Input((None, None, 3), dtype="uint8")
    x = keras.layers.Rescaling(1 / 127.5, -1)(inputs)
    x = convolution(x, width // 2, strides=2)
    return keras.Model(inputs, convolution(x, width, strides=2), name="stem")


def hourglass(width: int, name: str) -> Any:
    """Down to a sixteenth of the resolution and back, past skip connections.

    As in Newell et al., "Stacked Hourglass Networks", ECCV 2016. A mean over
    the whole picture is added at the bottom: how large a room is cannot be
    told from a part of it.
    """
    inputs = keras.Input((None, None, width))
    x, taps = inputs, []
    for factor in (2, 4):
        taps.append(x)
        x = convolution(x, factor * width, strides=2)
        x = convolution(x, factor * width)
    mean = keras.layers.GlobalAveragePooling2D(keepdims=True)(x)
    mean = keras.layers.Conv2D(4 * width, 1, activation="relu")(mean)
    x = keras.layers.Add()([x, mean])
    return keras.Model(inputs, upwards(x, taps), name=name)


def mobilenet_v2(width: int) -> Any:
    """The network of `keras.applications`, its taps brought together."""
    network = pretrained()
    names = ["block_2_add", "block_5_add"]
    taps = [network.get_layer(name).output for name in names]
    taps[0] = convolution(taps[0], width)
    x = upwards(network.get_layer("block_12_add").output, taps)
    return keras.Model(network.input, x, name="mobilenet_v2")


def pretrained() -> Any:
    """MobileNetV2 with the weights that are asked for, or can be had."""

    def network(weights: str | None) -> Any:
        return keras.applications.MobileNetV2(
            input_shape=(None, None, 3),
            alpha=0.35,
            include_top=False,
            weights=weights,
        )

    if PRETRAINED is None:
        return network(None)
    try:
        with warnings.catch_warnings():
            # That ImageNet's weights are those for 224 × 224 pixels.
            warnings.simplefilter("ignore")
            found = network(PRETRAINED)
    except Exception as error:  # Keras raises no narrower one
        if PRETRAINED != "imagenet":
            raise
        warnings.warn(
            "MobileNetV2 starts from random weights, and nothing of it is "
            f"frozen: those of ImageNet could not be fetched ({error})",
            stacklevel=2,
        )
        return network(None)
    for layer in found.layers:
        layer.trainable = block_number(layer.name) >= FROZEN
    return found


def block_number(name: str) -> int:
    """Of a layer of MobileNetV2; 0 before the second block."""
    if not name.startswith("block_"):
        return 0
    return int(name.split("_")[1])


def upwards(x: Any, taps: Sequence[Any]) -> Any:
    """Features at the resolution of the first tap, level by level."""
    for tap in reversed(taps):
        x = convolution(x, tap.shape[-1], size=1)
        x = keras.layers.UpSampling2D(2)(x)
        x = convolution(keras.layers.Add()([x, tap]), tap.shape[-1])
    return x


def convolution(x: Any, filters: int, size: int = 3, strides: int = 1) -> Any:
    """With batch normalization, whose averages suit few steps, and ReLU."""
    x = keras.layers.Conv2D(
        filters, size, strides, padding="same", use_bias=False
    )(x)
    return keras.layers.ReLU()(keras.layers.BatchNormalization(momentum=0.9)(x))


def optimizer(hp: Any) -> keras.optimizers.Optimizer:
    """Adam, at a rate that falls to zero over the `EPOCHS`."""
    rate = hp.Float("learning_rate", 1e-3, 1e-2, sampling="log", default=3e-3)
    schedule = keras.optimizers.schedules.CosineDecay(rate, STEPS)
    if PRETRAINED:
        return SlowerBackbone(schedule, backbone_rate=BACKBONE_RATE)
    return keras.optimizers.Adam(schedule)


@keras.saving.register_keras_serializable("scenes")
class SlowerBackbone(keras.optimizers.Adam):
    """Adam with a learning rate of its own for the layers of MobileNetV2."""

    def __init__(
        self, *args: Any, backbone_rate: float = 1.0, **kwargs: Any
    ) -> None:
        super().__init__(*args, **kwargs)
        self.backbone_rate = backbone_rate

    def update_step(
        self, gradient: Any, variable: Any, learning_rate: Any
    ) -> None:
        """A step of one variable, of Keras or of its backend."""
        path = getattr(variable, "path", variable.name)
        layers = path.split("/")[:-1]
        if any(layer.startswith(BACKBONE_LAYERS) for layer in layers):
            learning_rate = learning_rate * self.backbone_rate
        super().update_step(gradient, variable, learning_rate)

    def get_config(self) -> dict[str, Any]:
        """The arguments."""
        return {**super().get_config(), "backbone_rate": self.backbone_rate}


def boxes_task(classes: int) -> keras_mtl.Task:
    """Where objects are, and how large."""
    return keras_mtl.Task(
        "boxes",
        "regression",
        # Sizes are a few cells here, not tens of them as in the paper.
        loss=CenterNetLoss(size_weight=1.0),
        head=DetectionHead(classes, hidden=32),
        metrics=[],
    )


def present_task(classes: int) -> keras_mtl.Task:
    """Which classes of objects there are."""
    return keras_mtl.Task(
        "present",
        "multilabel",
        units=classes,
        head=keras.Sequential(
            [
                keras.layers.GlobalMaxPooling2D(),
                keras.layers.Dense(
                    classes, activation="sigmoid", dtype="float32"
                ),
            ]
        ),
        metrics=[keras.metrics.AUC(name="auc")],
    )


OF_OBJECTS = {"boxes": boxes_task, "present": present_task}


def segmentation_task(name: str, classes: Sequence[str]) -> keras_mtl.Task:
    """A class for each pixel, judged by the mean overlap of classes."""
    number = len(classes)
    return keras_mtl.Task(
        name,
        "multiclass",
        units=number,
        class_names=classes,
        weight=2,
        head=SegmentationHead(number, factor=STRIDE, hidden=32),
        metrics=[
            keras.metrics.MeanIoU(
                number, sparse_y_pred=False, name="mean_iou", dtype="float32"
            ),
            "accuracy",
        ],
    )


def map_50(model: Any, x: Any, truth: Any) -> float:
    """Mean average precision: what overlaps by half has been found."""
    maps = model.output["boxes"]
    found = keras.Model(model.input, decode(maps)).predict(x, verbose=0)
    return mean_average_precision(
        *truth["boxes"], found["boxes"], found["scores"], found["classes"]
    )


def decode(maps: Any) -> Any:
    """Boxes, scores and classes."""
    return DecodeBoxes(max_boxes=16, stride=STRIDE, name="decode")(maps)


def deploy(model: Any) -> Any:
    """The model for use: boxes, a class for each pixel, metres."""
    drawn = not {"rooms", "present"} & {*model.output}
    size = SIZE if drawn else NYU_V2_SIZE
    inputs = keras.Input((*size, 3), dtype="uint8", name="image")
    outputs = {}
    for name, maps in model(inputs).items():
        if name == "boxes":
            outputs.update(decode(maps))
        elif name == "present":
            outputs[name] = maps
        elif name == "depth":
            outputs[name] = keras.ops.squeeze(maps, axis=-1)
        else:
            outputs[name] = keras.ops.argmax(maps, axis=-1)
    return keras.Model(inputs, outputs, name="scenes")


def pictures(model: Any, x: Any, truth: Any) -> dict[str, Any]:
    """Four test pictures: what each task gives, and what would be right."""
    from matplotlib.figure import Figure
    from matplotlib.patches import Patch

    # Those of TFDS come in batches.
    x = x[:4] if isinstance(x, np.ndarray) else next(iter(x))[:4].numpy()
    found = deploy(model).predict(x, verbose=0)
    columns: list[tuple[str, Callable[..., Any], Iterable[Any]]] = [
        ("picture", draw_boxes, [(image, [], []) for image in x])
    ]
    names: Sequence[str] = ()
    for task in model.output:
        if task == "present":
            continue  # nothing to draw
        right = truth[task]
        if task == "boxes":
            keys = ("boxes", "classes", "scores")
            seen = zip(x, *(found[key] for key in keys), strict=True)
            columns += [("boxes", draw_boxes, seen)]
            columns += [("truth", draw_boxes, zip(x, *right, strict=False))]
        elif task == "depth":
            furthest = np.nanmax(right[: len(x)])
            for title, depths in (("depth", found[task]), ("truth", right)):
                rows = [(one, furthest) for one in depths[: len(x)]]
                columns += [(title, draw_depth, rows)]
        else:
            names = NYU_V2_CLASSES if task == "rooms" else SCENE_CLASSES
            for title, classes in ((task, found[task]), ("truth", right)):
                columns += [(title, draw_classes, zip(classes[: len(x)]))]
    shape = x.shape[1] / x.shape[2]
    figure = Figure(
        figsize=(2 * len(columns), 2 * shape * len(x) + 1),
        layout="constrained",
    )
    grid = figure.subplots(len(x), len(columns), squeeze=False)
    for panels, (title, draw, rows) in zip(grid.T, columns, strict=True):
        panels[0].set_title(title)
        for axes, row in zip(panels, rows, strict=False):
            axes.set_axis_off()
            drawn = draw(axes, *row)
        if title == "depth":
            bar = figure.colorbar(drawn, ax=grid, shrink=0.6, aspect=40)
            bar.set_label("metres")
    if names:
        figure.legend(
            handles=[
                Patch(color=colour(number), label=name)
                for number, name in enumerate(names)
            ],
            loc="outside lower center",
            ncols=7,
            frameon=False,
        )
    return {"Test pictures": figure}


def colour(number: int) -> Any:
    """The colour of a class: dark ones first, then pale ones."""
    from matplotlib import colormaps

    return colormaps["tab20"](2 * number % 20 + number // 10)


def draw_boxes(
    axes: Any, image: Any, boxes: Any, classes: Any, scores: Any = None
) -> None:
    """Boxes of a score of .3 or more, in the colours of their classes."""
    from matplotlib.patches import Rectangle

    axes.imshow(image)
    first = SCENE_CLASSES.index(OBJECT_CLASSES[0])
    scores = np.ones(len(boxes)) if scores is None else scores
    for box, label, score in zip(boxes, classes, scores, strict=True):
        if score >= 0.3:
            left, top, right, bottom = box - 0.5  # pixels' middles are whole
            axes.add_patch(
                Rectangle(
                    (left, top),
                    right - left,
                    bottom - top,
                    fill=False,
                    linewidth=2,
                    color=colour(first + label),
                )
            )


def draw_classes(axes: Any, classes: Any) -> None:
    """The class of each pixel; white where it is not known."""
    axes.imshow(np.where((classes < 0)[..., None], 1, colour(classes)))


def draw_depth(axes: Any, depth: Any, furthest: float) -> Any:
    """Depths; white where none was measured."""
    return axes.imshow(depth, vmin=0, vmax=furthest, cmap="magma_r")


recipe = keras_mtl.Recipe(
    name="scenes",
    tasks=[
        boxes_task(len(OBJECT_CLASSES)),
        segmentation_task("segmentation", SCENE_CLASSES),
        segmentation_task("rooms", NYU_V2_CLASSES),
        present_task(len(OBJECT_CLASSES)),
        keras_mtl.Task(
            "depth",
            "regression",
            unit="m",
            # The relative error, in percent.
            loss="mean_absolute_percentage_error",
            weight=0.05,
            head=DepthHead(factor=STRIDE, hidden=32, activation="exponential"),
            metrics=[AbsoluteRelativeError(), "mae", DeltaAccuracy()],
        ),
    ],
    sources={
        "scenes": ("boxes", "segmentation", "depth"),
        "nyu_v2": ("rooms", "depth"),
        "tfds": ("boxes", "present"),
    },
    load=load,
    build=build,
    optimizer=optimizer,
    batch_size=BATCH,
    epochs=EPOCHS,
    balancers=(),
    sharings=("hard_sharing", "cross_stitch", "mtan"),
    scores={"boxes": [keras_mtl.Score("map_50", "max", map_50)]},
    pictures=pictures,
    deploy=deploy,
)
