"""The port that the demo serves on, chosen before anything is built.

The rule: standard library only, and no syntax newer than Python 3.6, as in `tools.environment`,
which comes after it.
"""

import argparse
import socket
from pathlib import Path

_USUAL = 8080
_TRIED = 20


class PortError(Exception):
    """No port can be used. The message says what to do."""


def parser() -> argparse.ArgumentParser:
    """The command line of tools/demo."""
    made = argparse.ArgumentParser(
        prog="tools/demo", description="Serve a sample database over MCP on this machine."
    )
    made.add_argument("--port", type=int, help=f"of 127.0.0.1 ({_USUAL}, or the next that is free)")
    made.add_argument(
        "--state",
        type=Path,
        default=Path(__file__).resolve().parent.parent / ".demo",
        help="where it keeps its files (.demo)",
    )
    return made


def choose(arguments: "list[str]") -> "list[str]":
    """The demo's arguments with a port among them that is free now; it says when it is not 8080.

    Raises PortError.
    """
    asked = parser().parse_args(arguments).port
    if asked is not None:
        problem = _problem(asked)
        if problem is not None:
            raise PortError(
                f"port {asked} of 127.0.0.1 cannot be used: {problem}.\n"
                "Leave out --port, and tools/demo looks for one that is free."
            )
        return arguments
    for port in range(_USUAL, _USUAL + _TRIED):
        if _problem(port) is None:
            if port != _USUAL:
                print(f"Port {_USUAL} of 127.0.0.1 is taken: using {port}", flush=True)
            return [*arguments, "--port", str(port)]
    raise PortError(
        f"ports {_USUAL} to {_USUAL + _TRIED - 1} of 127.0.0.1 are taken.\n"
        "Name another: tools/demo --port N"
    )


def _problem(port: int) -> "Exception | None":
    """Why nothing can listen there; None when it can."""
    with socket.socket() as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind(("127.0.0.1", port))
        except (OSError, OverflowError) as error:
            return error
    return None
