"""Programs from npm: fetched once, and never looked for elsewhere."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from tools import npm


@pytest.mark.starts_process
def test_what_is_there_is_not_fetched_again(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PATH", "/nowhere")
    for package, version in (("@its/client", "1.2.3"), (npm.NODE, npm.NODE_VERSION)):
        folder = tmp_path / "node_modules" / package
        folder.mkdir(parents=True)
        (folder / "package.json").write_text(json.dumps({"version": version}))
    npm.install(tmp_path, {"@its/client": "1.2.3"})
    with pytest.raises(npm.NpmError, match=r"install Node\.js"):
        npm.install(tmp_path, {"@its/client": "1.2.4"})
