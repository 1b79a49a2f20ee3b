"""What TensorBoard's page HParams makes of the trials that are written."""

import json

import keras_tuner
import pytest
from google.protobuf import json_format
from tensorboard.backend.event_processing.data_provider import (
    MultiplexerDataProvider,
)
from tensorboard.backend.event_processing.plugin_event_multiplexer import (
    EventMultiplexer,
)
from tensorboard.context import RequestContext
from tensorboard.plugins.base_plugin import TBContext
from tensorboard.plugins.hparams import api_pb2
from tensorboard.plugins.hparams.backend_context import Context
from tensorboard.plugins.hparams.list_session_groups import Handler

from keras_mtl.callbacks.hparams_board import write_space, write_trial

VALUES = {"rate": 0.5, "width": 3, "sharing": "mmoe", "deep": True}
NAN = float("nan")


def page(folder, **column):
    """The rows that the page shows, as its server sends them."""
    events = EventMultiplexer().AddRunsFromDirectory(str(folder)).Reload()
    provider = MultiplexerDataProvider(events, str(folder))
    request = api_pb2.ListSessionGroupsRequest(
        start_index=0,
        slice_size=100,
        allowed_statuses=api_pb2.Status.values(),
    )
    gain = {"metric": {"tag": "gain/mean"}}
    request.col_params.add(**gain, **column)
    context = Context(TBContext(data_provider=provider))
    answer = Handler(RequestContext(), context, "", request).run()
    rows = json.loads(json_format.MessageToJson(answer))["sessionGroups"]
    return {row["name"]: row for row in rows}


@pytest.fixture(scope="module")
def board(tmp_path_factory):
    folder = tmp_path_factory.mktemp("board")
    space = keras_tuner.HyperParameters()
    space.Float("rate", 0.1, 0.9)
    space.Int("width", 2, 9)
    space.Choice("sharing", ["mmoe", "hard_sharing"])
    space.Boolean("deep")
    write_space(folder, space.space, {"gain/mean": "mean gain, %"})
    good = {"loss/a": [3.0, 2.0], "gain/mean": [1.5]}
    for number, (curves, failed) in enumerate(
        [(good, False), ({}, True), ({"loss/a": [3.0, NAN]}, True)]
    ):
        write_trial(
            folder / f"trial_{number}",
            f"trial {number}",
            VALUES,
            curves,
            failed=failed,
        )
    return folder


@pytest.mark.parametrize("order", ["ORDER_ASC", "ORDER_DESC"])
def test_failed_trials_are_listed_with_what_they_tried(board, order):
    rows = page(board, order=order)
    # Without a gain to be sorted by, they come last in either order.
    assert next(iter(rows)) == "trial 0"
    assert len(rows) == 3
    for name, row in rows.items():
        assert row["hparams"] == VALUES, name
        (session,) = row["sessions"]
        failed = name != "trial 0"
        expected = "STATUS_FAILURE" if failed else "STATUS_SUCCESS"
        assert session["status"] == expected, name
        assert session["endTimeSecs"] >= session["startTimeSecs"]
        assert ("metricValues" in row) is not failed, name
    (gain,) = rows["trial 0"]["metricValues"]
    assert gain["value"] == 1.5


def test_failed_trials_can_be_left_out(board):
    rows = page(board, exclude_missing_values=True)
    assert list(rows) == ["trial 0"]
