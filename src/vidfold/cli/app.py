"""``vidfold app``: a page in the browser where videos are asked about."""

import argparse

from vidfold.cli.console import quiet_libraries
from vidfold.cli.options import Commands, add_model, command, load_model

PORT = 7860


def add(commands: Commands) -> None:
    """Add the command."""
    parser = command(commands, "app", run, "Serve a page where a clip is asked about, unfolded and folded.")
    parser.add_argument("--port", type=int, default=PORT, help=f"of the page (default: {PORT})")
    parser.add_argument(
        "--host", default="127.0.0.1", help="address to serve at; 0.0.0.0 is every network (default: 127.0.0.1)"
    )
    add_model(parser)


def run(options: argparse.Namespace) -> None:
    """Serve until interrupted."""
    from vidfold import extras
    from vidfold.live.page import serve

    extras.load("gradio", "app")  # before a model is loaded in vain
    if not 0 < options.port < 65536:
        raise ValueError(f"--port must be in 1 to 65535, got {options.port}")
    with quiet_libraries():
        loaded = load_model(options)
    print(f"vidfold: {loaded.name} answers at http://{options.host}:{options.port} until Ctrl-C", flush=True)
    serve(loaded, host=options.host, port=options.port)
