"""The lock of the development environment: what is in it, and what an extra takes of it."""

from __future__ import annotations

import re

import pytest
from packaging.requirements import Requirement

from tools import environment, locking

_LOCKED = locking.sections(locking.LOCK.read_text())
_ENTRY = re.compile(r"[a-z0-9-]+==[^\s;]+( ; [^\\]+)?( \\\n    --hash=sha256:[0-9a-f]{64})+\n")
_RENEW = "tools/packages.lock is older than pyproject.toml: run tools/lock"


def test_every_requirement_of_the_project_is_locked_for_its_extra() -> None:
    asked = locking.requirements()
    assert list(_LOCKED) == list(asked), _RENEW
    known: dict[str, str] = {}
    for section, lines in asked.items():
        known |= locking.versions(_LOCKED[section])
        for wanted in map(Requirement, lines):
            version = known.get(locking.name_of(wanted.name))
            assert version is not None and wanted.specifier.contains(version), _RENEW


def test_every_package_is_pinned_and_has_hashes_and_is_there_once() -> None:
    entries = [entry for section in _LOCKED.values() for entry in section.values()]
    for entry in entries:
        assert _ENTRY.fullmatch(entry), entry
    assert len({locking.name_of(entry) for entry in entries}) == len(entries)


def test_an_extra_takes_what_is_before_it_and_nothing_after_it() -> None:
    demo = locking.sections(environment.locked(["demo"]))
    assert list(demo) == ["base", "demo"]
    assert demo == {name: _LOCKED[name] for name in demo}
    assert locking.sections(environment.locked(["dev", "demo"])).keys() == {*demo, "dev"}
    assert locking.sections(environment.locked(["lock"])) == _LOCKED


def test_an_extra_that_is_not_locked_names_the_command_that_locks_it() -> None:
    with pytest.raises(environment.SetUpError, match="no section docs: run tools/lock"):
        environment.locked(["docs"])
