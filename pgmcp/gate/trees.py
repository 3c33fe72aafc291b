"""Having PostgreSQL show the tree that it made of a statement, which nothing runs for.

The rule: a tree is shown to this session alone where the role can keep it out of the server's log.
A caller's text is analysed with the session's search_path, and everything else that the judge asks
with PostgreSQL's own, in which no user's operator is found. Steps, and what their replies hold.
"""

from __future__ import annotations

import re

from pgmcp.postgres.messages import Reply, Step

RESTORE_PATH = "pg_catalog.set_config('search_path', NULL, true)"
"""An expression that goes back to the search_path that the session began with."""
# The printed tree also goes to the server's log, unless the role may raise log_min_messages.
_SHOWN_SETTINGS = (
    "pg_catalog.set_config('debug_pretty_print', 'off', true),"
    " pg_catalog.set_config('client_min_messages', 'log', true), {out_of_log}"
)
_OUT_OF_LOG = "CASE WHEN {} THEN pg_catalog.set_config('log_min_messages', 'fatal', true) END"
_MAY_HUSH = {
    True: "pg_catalog.has_parameter_privilege('log_min_messages', 'SET')",
    False: "pg_catalog.current_setting('is_superuser') OPERATOR(pg_catalog.=) 'on'",
}
_PARAMETER_PRIVILEGES_SINCE = 15
# It is printed as well: a SET has a short tree.
_HIDE = Step("SET LOCAL debug_print_rewritten = off")
QUIET = (
    "pg_catalog.set_config('client_min_messages', 'notice', true),"
    " pg_catalog.set_config('search_path', 'pg_catalog, pg_temp', true)"
)
"""Expressions, two, that go back to the settings with which the judge asks."""
HIDE = (_HIDE, Step(f"SELECT {QUIET}"))
"""From here on no tree is shown, and what is asked is the judge's."""
_COMMAND = re.compile(r":commandType\s+(\d+)")
# Of nodes.h: SELECT, UPDATE, INSERT, DELETE; MERGE, and DO NOTHING in it. What is left is utility.
_PLANNED = {True: frozenset("123457"), False: frozenset("1234")}
_MERGE_SINCE = 15
_BOUND = re.compile(r":query\s+(\{QUERY.*\})\}\s+:resultRelation", re.DOTALL)


def show(server_major: int) -> Step:
    """From here on each statement that is analysed, with the session's search_path, has its tree
    in the notices of its reply."""
    return Step(
        f"SELECT {RESTORE_PATH}, {shown_settings(server_major)},"
        " pg_catalog.set_config('debug_print_rewritten', 'on', true)"
    )


def shown_settings(server_major: int) -> str:
    """Expressions that set how trees are shown, but do not have them shown yet."""
    return _SHOWN_SETTINGS.format(out_of_log=out_of_log(server_major))


def out_of_log(server_major: int) -> str:
    """An expression that keeps trees out of the server's log, where the role may do that."""
    return _OUT_OF_LOG.format(_MAY_HUSH[server_major >= _PARAMETER_PRIVILEGES_SINCE])


def bound(reply: Reply) -> list[str]:
    """The analysed statements that a DECLARE or EXPLAIN holds: two where it was analysed twice.

    Views and policies are not put in, and before PostgreSQL 16 an EXPLAIN shows none.
    """
    shown = (_BOUND.search(notice.get("D", "")) for notice in reply.notices)
    return [tree.group(1) for tree in shown if tree]


def rewriting(text: str, server_major: int) -> tuple[Step, ...]:
    """The steps whose replies `rewritten` wants; they lock all that the text reads."""
    return (show(server_major), Step(text, execute=False), *HIDE)


def rewritten(reply: Reply) -> str:
    """The trees of a text that is no EXPLAIN or DECLARE, with rules, views and policies put in."""
    return "".join(notice.get("D", "") for notice in reply.notices)


def can_be_planned(tree: str, server_major: int) -> bool:
    """Whether all that a tree holds is SELECT, INSERT, UPDATE, DELETE and MERGE."""
    commands = set(_COMMAND.findall(tree))
    return bool(commands) and commands <= _PLANNED[server_major >= _MERGE_SINCE]
