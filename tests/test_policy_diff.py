"""-policy-diff: what a change of policies opens and closes, and for whom."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from pgmcp.config.policies import KEYS, Policy
from pgmcp.policy.difference import COMPARISONS, CredentialPolicy, changes
from pgmcp.stores.files import FileTokenStore
from tests.configuration import configure
from tests.program import add_token, run_program, write_config


def policy(**settings: Any) -> Policy:
    databases = [{"name": "main", "user": "u", "database": "d"}]
    said = {"databases": databases, "policies": {"p": settings}}
    return configure(json.dumps(said)).policies["p"]


def said(old: dict[str, Any], new: dict[str, Any]) -> list[str]:
    made = changes(CredentialPolicy(policy(**old)), CredentialPolicy(policy(**new)))
    return [f"{change.word} {change.what}" for change in made]


def test_each_key_of_a_policy_is_compared() -> None:
    """A new key needs a line in the table, which says which of two values allows more."""
    assert {key.path for key in KEYS} == COMPARISONS.keys()


CASES: list[tuple[dict[str, Any], dict[str, Any], list[str]]] = [
    ({"read": ["a.t"]}, {"read": ["a.t", "a.u"]}, ["opens read: a.u"]),
    ({"read": ["a.*"]}, {"read": ["a.*", "not a.t"]}, ["closes read: a.t"]),
    ({"read": ["a.*", "not a.t.c"]}, {"read": ["a.*"]}, ["opens read: a.t.c"]),
    ({"read": ["a.t.c"]}, {"read": ["a.t"]}, ["opens read: a.t.*"]),
    ({"read": ["a.t"]}, {"read": ["a.*"]}, ["opens read: a.*"]),
    ({"read": ["a.*"]}, {"read": ["*.*"]}, ["opens read: *.*"]),
    ({"read": ["*.*"]}, {"read": ["a.*"]}, ["closes read: *.*"]),
    ({"read": ["not a.t", "a.*"]}, {"read": ["a.*", "not a.t"]}, ["closes read: a.t"]),
    ({"read": ["a.*", "a.t"]}, {"read": ["a.*"]}, []),
    ({"read": ['a."T t"']}, {"read": []}, ['closes read: a."T t"']),
    (
        {"read": ["a.t"]},
        {"read": ["a.t", "pg_catalog.pg_class"]},
        ["opens read: pg_catalog.pg_class"],
    ),
    ({"databases": ["main"]}, {}, ["opens databases: all, and not only main"]),
    ({}, {"tools": ["count_rows"]}, ["closes tools: all but count_rows"]),
    (
        {"tools": ["count_rows"]},
        {"tools": ["query_database"]},
        ["closes tools: count_rows", "opens tools: query_database"],
    ),
    ({"functions": ["a.f"]}, {}, ["closes functions: a.f"]),
    (
        {"canaries": ["a.t"], "canary_action": "stop"},
        {"canaries": ["a.u"], "canary_action": "alarm"},
        [
            "closes canaries: a.u",
            "opens canaries: a.t is none any more",
            "opens canary_action: alarm instead of stop",
        ],
    ),
    ({}, {"functions": ["a.f"]}, ["opens functions: a.f"]),
    (
        {"networks": ["10.0.0.0/8"]},
        {"networks": ["10.1.0.0/16", "192.0.2.0/24"]},
        ["closes networks: 10.0.0.0/8", "opens networks: 192.0.2.0/24"],
    ),
    ({"networks": ["10.1.0.0/16"]}, {}, ["opens networks: all, and not only 10.1.0.0/16"]),
    (
        {"limits": {"rows_per_call": 10}},
        {"limits": {"rows_per_call": 20}},
        ["opens limits.rows_per_call: 20 instead of 10"],
    ),
    (
        {},
        {"limits": {"statement_timeout": "5s"}},
        ["closes limits.statement_timeout: 5.0 instead of none"],
    ),
    (
        {"limits": {"calls_per_minute": 5}},
        {},
        ["opens limits.calls_per_minute: none instead of 5"],
    ),
    ({"role": "a"}, {"role": "b"}, ["opens role: b instead of a"]),
    (
        {"settings": {"app.id": "1"}},
        {"settings": {"app.id": "2"}},
        ["opens settings: app.id = '2' instead of app.id = '1'"],
    ),
    (
        {"hours": ["Mon-Fri 07:00-19:00 UTC"]},
        {"hours": ["Mon-Fri 08:00-18:00 UTC"]},
        ["closes hours: Mon-Fri 08:00-18:00 UTC instead of Mon-Fri 07:00-19:00 UTC"],
    ),
    (
        {"hours": ["Mon-Sun 00:00-24:00 UTC"]},
        {"hours": []},
        [],
    ),
    (
        {"mask": {"a.t.c": "null"}},
        {"mask": {"a.t.c": "partial"}},
        ["opens mask: a.t.c is shown by the mask partial, and was by the mask null"],
    ),
    (
        {},
        {"mask": {"a.t.c": "hash"}},
        ["closes mask: a.t.c is shown by the mask hash, and was as it is"],
    ),
    (
        {"mask": {"a.t.c": "hash"}},
        {},
        ["opens mask: a.t.c is shown as it is, and was by the mask hash"],
    ),
]


@pytest.mark.parametrize(("old", "new", "lines"), CASES, ids=[str(case[:2]) for case in CASES])
def test_a_change_of_a_key_opens_or_closes(
    old: dict[str, Any], new: dict[str, Any], lines: list[str]
) -> None:
    assert said(old, new) == lines


def test_a_policy_that_is_not_there_refuses_and_none_restricts_nothing() -> None:
    free, refused = CredentialPolicy(None), CredentialPolicy(None, refused=True)
    some = CredentialPolicy(policy(read=["a.*"], role="admin"))
    words = {
        (old, new): [change.word for change in changes(old, new)]
        for old in (free, refused, some)
        for new in (free, refused, some)
        if old != new
    }
    assert words == {
        (free, refused): ["closes"],
        (free, some): ["closes", "opens"],  # its role may be one that can read more
        (refused, free): ["opens"],
        (refused, some): ["opens"],
        (some, free): ["opens"],
        (some, refused): ["closes"],
    }


def test_each_credential_of_the_new_configuration_is_looked_at(tmp_path: Path) -> None:
    support = {"read": ["public.*", "not public.salaries"]}
    old = write_config(tmp_path, policies={"support": support, "gone": {}})
    kept = tmp_path / "old.yaml"
    kept.write_text(old.read_text())
    new = {"support": {"read": ["public.*"]}, "default": {"read": []}}
    config = write_config(tmp_path, policies=new)
    for name, named in (("a", "support"), ("b", "gone"), ("c", None)):
        add_token(config, name, policy=named)
    alice = ("-username", "alice", "-password", "long enough")
    run_program(config, "-add-user", *alice, "-user-policy", "support")
    ran = run_program(config, "-policy-diff", str(kept), str(config))
    assert ran.returncode == 1
    lines = ran.stdout
    for number, token in enumerate(FileTokenStore(tmp_path / "tokens.yaml").listed(), 1):
        lines = lines.replace(token.id, f"token-{number}")
    assert sorted(lines.splitlines()) == [
        "closes stdio and client certificates, token token-3: "
        "everything that its policy does not allow: it was not restricted",
        "closes token token-2: everything: its policy is not there any more",
        "opens  token token-1, user alice: read: public.salaries",
    ]
    same = run_program(config, "-policy-diff", str(kept), str(kept))
    assert (same.returncode, same.stdout) == (0, "")
    wrong = run_program(config, "-policy-diff", str(kept), str(tmp_path / "none.yaml"))
    assert wrong.returncode == 1
    assert "none.yaml: there is no such file" in wrong.stderr
    kept.write_text(json.dumps({"policies": {"support": {"read": ["users"]}}}))
    wrong = run_program(config, "-policy-diff", str(kept), str(config))
    assert wrong.returncode == 1
    assert "names no table" in wrong.stderr
