"""Print the share of questions that is right, declined and wrong.

`python -m tests.language.share [name …]`; it starts a server of its own and stops it.
"""

from __future__ import annotations

import sys
import tempfile
import time
from collections import Counter
from pathlib import Path

from pgmcp.calls.call import Call
from pgmcp.language.lexicon import Lexicon
from tests.databases import open_databases, settings_for
from tests.language.questions import FOLDER, judge, load
from tools.binaries import available
from tools.postgres import start


def main(names: list[str]) -> None:
    """Ask every question of the named files, or of all."""
    total: Counter[str] = Counter()
    with tempfile.TemporaryDirectory() as folder:
        Path(folder).chmod(0o755)
        server = start(Path(folder) / "server", binaries=available()[0])
        try:
            for path in sorted(FOLDER.glob("questions_*.txt")):
                name = path.stem.removeprefix("questions_")
                if names and name not in names:
                    continue
                questions = load(path)
                server.create_database(name)
                server.psql(questions.schema.read_text(encoding="utf-8"), database=name)
                databases = open_databases([settings_for(server, name)])
                database = databases.database("test", "main", Call(600))
                lexicon = Lexicon.of(database.catalogue())
                began = time.perf_counter()
                verdicts = [
                    judge(case, lexicon, database, questions.today) for case in questions.cases
                ]
                took = time.perf_counter() - began
                for verdict in verdicts:
                    if verdict.outcome != "right":
                        print(f"{verdict.outcome.upper()}: {verdict.case.text}\n  {verdict.why}\n")
                counts = Counter(verdict.outcome for verdict in verdicts)
                total += counts
                print(f"{name}: {dict(counts)} of {len(verdicts)} in {took:.2f} s")
                databases.pools.close(1)
        finally:
            server.stop()
    asked = sum(total.values())
    print(", ".join(f"{one} {n} ({100 * n / asked:.1f}%)" for one, n in total.items()), "of", asked)


if __name__ == "__main__":
    main(sys.argv[1:])
