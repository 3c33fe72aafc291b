"""``python -m pgmcp``: the same program as the installed commands."""

import sys

from pgmcp.cli.main import main

if __name__ == "__main__":
    sys.exit(main())
