import pytest


@pytest.fixture
def offline(monkeypatch):
    """Fails a test that asks for the network, or waits to ask again."""

    def refuse(*args, **kwargs):
        raise AssertionError("asked for the network")

    monkeypatch.setattr("socket.socket.connect", refuse)
    monkeypatch.setattr("time.sleep", refuse)
