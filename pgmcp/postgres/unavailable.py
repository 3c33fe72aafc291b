"""Why a database cannot be connected to, with what to do about it for each kind of reason.

The rule: a hint goes by the SQLSTATE, which has no language, and names what the operator sets; of
several places the last one that PostgreSQL refused at decides, since there it is that it runs.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

from pgmcp.config.databases import DatabaseSettings
from pgmcp.errors import DatabaseUnavailableError, NoConnectionLeftError, ServerMessage

_AGAIN = ", then try again."
_LASTING = ("28", "3D", "42501")
_STATEMENT_POOLING = "statement pooling mode"  # PgBouncer's words, which has one language


class Reason(NamedTuple):
    """What went wrong at one place. `sqlstate` "" when no PostgreSQL answered; `tls`: it was the
    encryption that failed; `lasting`: another attempt made now would fail alike there."""

    text: str
    sqlstate: str = ""
    tls: bool = False
    lasting: bool = False

    @classmethod
    def of(cls, server: ServerMessage) -> Reason:
        """What PostgreSQL itself refused with. Who may log in where lasts; that a connection more
        is too many, or that the server stops, may be over by now."""
        said = f"{server.message} (SQLSTATE {server.sqlstate})"
        return cls(said, server.sqlstate, lasting=server.sqlstate.startswith(_LASTING))


def unavailable(database: DatabaseSettings, reasons: Sequence[Reason]) -> DatabaseUnavailableError:
    """The error for all these reasons."""
    refused = [reason for reason in reasons if reason.sqlstate]
    last = (refused or list(reasons) or [Reason("")])[-1]
    kind = NoConnectionLeftError if last.sqlstate.startswith("53") else DatabaseUnavailableError
    said = "; ".join(dict.fromkeys(reason.text for reason in reasons))
    # A line that was reset may have been the only thing in the way.
    lasting = bool(reasons) and all(reason.lasting for reason in reasons)
    message = f"cannot connect to {database.label}: {said}"
    return kind(message, _hint(database, last), lasting=lasting)


def _hint(database: DatabaseSettings, reason: Reason) -> str:
    if _STATEMENT_POOLING in reason.text:
        return (
            "PgBouncer is in statement mode, which has no transactions, and every read here is one:"
            " set pool_mode to transaction or session for this database in pgbouncer.ini."
        )
    if reason.tls:
        return "Check sslmode and the certificates in the configuration of this database" + _AGAIN
    if not reason.sqlstate:
        return (
            "Nothing answers there: check host and port in the configuration, that PostgreSQL runs"
            " and listens there (listen_addresses), and the firewall between" + _AGAIN
        )
    if reason.sqlstate == "28000" and "pg_hba.conf" in reason.text:
        return (
            f"The server's pg_hba.conf lets nobody in as {database.user} from here: add a line for"
            " this user, database and address, and reload the server" + _AGAIN
        )
    return _BY_SQLSTATE.get(
        reason.sqlstate,
        _BY_SQLSTATE.get(
            reason.sqlstate[:2], "Check that the server accepts this user and database" + _AGAIN
        ),
    )


_BY_SQLSTATE = {
    "28P01": "The password is wrong, or the user does not exist: check user and password in the"
    " configuration, its environment variables and .pgpass" + _AGAIN,
    "28": "Check that this user exists and may log in (ALTER ROLE … LOGIN)" + _AGAIN,
    "3D000": "There is no database of this name there: check database in the configuration, or"
    " create it" + _AGAIN,
    "42501": "This user may not connect to the database: GRANT CONNECT ON DATABASE … TO …" + _AGAIN,
    "53": "The server has no connection left for this user or database, or none at all: lower"
    " pool_max_conns, or raise the role's CONNECTION LIMIT or max_connections. Try again when"
    " others have ended.",
    "57": "The server is starting or stopping: try again in a moment.",
}
