"""The first code of the one file that runs.

The rule: a Python of any age can read this file, because it is what tells an old one to go away.
"""

import sys

if sys.version_info < (3, 11):  # noqa: UP036
    sys.exit(
        "ERROR: pgedge-postgres-mcp needs Python 3.11 or later, and %s is Python %d.%d: "  # noqa: UP031
        "start it with a newer one, as in: python3.13 %s"
        % (sys.executable, sys.version_info[0], sys.version_info[1], sys.argv[0])
    )

if __name__ == "__main__":
    # From the top of the file: only there it has this name. Its byte code, where that is there
    # for this Python: to compile it takes longer than to look up all the rest.
    try:
        importer = __import__("bundle_importer-" + str(sys.implementation.cache_tag))
    except ImportError:
        importer = __import__("bundle_importer")

    importer.install(__loader__)  # type: ignore[name-defined]
    from pgmcp.cli.main import main

    sys.exit(main())
