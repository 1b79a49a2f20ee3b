"""`keras-mtl serve`: an exported model, for a look."""

import ipaddress
import signal
import threading
from pathlib import Path
from typing import Annotated

import typer

from keras_mtl.cli.output import new_console
from keras_mtl.cli.quiet import import_quietly

_MIB = 2**20


def serve(
    directory: Annotated[
        Path,
        typer.Argument(
            metavar="DIR", help="A model's directory or one of its versions."
        ),
    ],
    host: Annotated[
        str,
        typer.Option(
            help="Who can ask: 127.0.0.1 is this machine alone, 0.0.0.0 "
            "everybody who reaches it."
        ),
    ] = "127.0.0.1",
    port: Annotated[
        int,
        typer.Option(min=0, max=65535, help="Of page and REST; 0: any free."),
    ] = 8501,
    grpc_port: Annotated[
        int,
        typer.Option(min=0, max=65535, help="Of gRPC; 0: any free."),
    ] = 8500,
    timeout: Annotated[
        float,
        typer.Option(min=0.1, help="Seconds to arrive, and to run."),
    ] = 30.0,
    max_mib: Annotated[
        int, typer.Option(min=1, max=1024, help="The largest request, in MiB.")
    ] = 64,
) -> None:
    """Serve an exported model for a look, with a page to try it by hand.

    It speaks TensorFlow Serving's REST and gRPC, and is not for production.
    """
    import_quietly()
    from keras_mtl import serving
    from keras_mtl.serving import stubs
    from keras_mtl.serving.commands import serve_command

    with_grpc = stubs.available()
    stopped = threading.Event()
    console = new_console()
    with serving.Server(
        directory,
        host=host,
        port=port,
        grpc_port=grpc_port if with_grpc else None,
        timeout=timeout,
        max_bytes=max_mib * _MIB,
    ) as server:
        for number in (signal.SIGINT, signal.SIGTERM):
            signal.signal(number, lambda *_: stopped.set())
        model = server.model
        url = f"{server.rest_address}/v1/models/{model.name}:predict"
        grpc = server.grpc_address or (
            "needs tensorflow-serving-api: pip install 'keras-mtl[serving]'"
        )
        for line in (
            f"{model.name}, version {model.version}",
            f"  page  {server.rest_address}/",
            f"  REST  {url}",
            f"  gRPC  {grpc}",
            "This server is for a look. In production run TensorFlow Serving:",
            f"  {serve_command(_model_dir(model.folder))}",
        ):
            console.print(line, soft_wrap=True)
        if not _is_loopback(host):
            console.print("Everybody who reaches this machine can ask it.")
        console.print("Ctrl-C stops it.")
        stopped.wait()
    console.print("Stopped.")


def _model_dir(folder: Path) -> Path:
    return folder.parent if folder.name.isdigit() else folder


def _is_loopback(host: str) -> bool:
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"
