"""`python -m tests.suite_server CONFIG`: the server, with what the official suite asks for too."""

from __future__ import annotations

import queue
import signal
import sys
from pathlib import Path

from pgmcp.app import App
from pgmcp.config.load import load
from pgmcp.features.all import ALL
from pgmcp.mcp.feature import FeatureSet
from pgmcp.server.shared import ServerCommand
from tests.suite_features import FEATURES


def main(config_file: str) -> int:
    """Serve until told to end; the exit status."""
    config = load({"config": config_file}, {}, Path(config_file).parent, None)
    features = FeatureSet(
        ALL.tools + FEATURES.tools,
        ALL.resources + FEATURES.resources,
        ALL.templates + FEATURES.templates,
        ALL.prompts + FEATURES.prompts,
    )
    commands: queue.SimpleQueue[ServerCommand] = queue.SimpleQueue()
    signal.signal(signal.SIGTERM, lambda _number, _frame: commands.put("stop"))
    return App(config, features=features).serve_http(commands.get, lambda: config)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1]))
