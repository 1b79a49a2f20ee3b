"""A client that others wrote, against our server."""

import numpy as np
import pytest

ovmsclient = pytest.importorskip("ovmsclient", reason="needs ovmsclient")


@pytest.mark.parametrize("api", ["grpc", "http"])
def test_an_independent_client(exported, served, api):
    model, _ = exported
    make = getattr(ovmsclient, f"make_{api}_client")
    address = served.grpc_address if api == "grpc" else served.rest_address
    client = make(address.partition("://")[2])
    status = client.get_model_status("two", model_version=1)
    assert status[1]["state"] == "AVAILABLE"
    if api == "grpc":  # over HTTP it wants another spelling than TF Serving's
        metadata = client.get_model_metadata("two", model_version=1)
        assert metadata["model_version"] == 1
        assert metadata["inputs"]["x"]["shape"] == [-1, 4]
    rows = np.random.default_rng(0).normal(size=(3, 4)).astype("float32")
    answer = client.predict({"x": rows}, "two", model_version=1)
    expected = model.predict(rows, verbose=0)
    for key, y in expected.items():
        np.testing.assert_allclose(answer[key], y, atol=1e-6)
    with pytest.raises(ovmsclient.tfs_compat.base.errors.ModelNotFoundError):
        client.get_model_status("other")
