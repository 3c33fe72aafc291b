"""What is wrong with policies, by what the databases have: for the log, and for -check.

The rule: a line of a policy has to match in one of its databases; whether it does is not said while
one of them cannot be asked.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass

from pgmcp.config.policies import Policy
from pgmcp.errors import ToolError
from pgmcp.gate.port import Database
from pgmcp.policy.fit import PolicyFit, fit


@dataclass(frozen=True, slots=True)
class PolicyProblem:
    """`subject`: the policy, and the database that it is about. `is_error`: something is refused
    because of it."""

    subject: str
    message: str
    mend: str
    is_error: bool = False


def policy_problems(
    policies: Mapping[str, Policy], databases: Sequence[str], reader_of: Callable[[str], Database]
) -> Iterator[PolicyProblem]:
    """The problems of these policies in these databases; `reader_of` is asked for each as
    its user reaches it. A database that cannot be asked is left out."""
    for name, policy in policies.items():
        asked = [database for database in databases if policy.allows(database)]
        answered: list[PolicyFit] = []
        for database in asked:
            try:
                of_database = fit(policy, reader_of(database).fetch)
            except ToolError:
                continue
            answered.append(of_database)
            yield from _of_database(f"policy {name}, {database}", of_database)
        if answered and len(answered) == len(asked):
            nowhere = frozenset.intersection(*(each.unmatched for each in answered))
            for line in sorted(nowhere):
                yield PolicyProblem(
                    f"policy {name}",
                    f"{line!r} matches no table or column",
                    "See whether a name is misspelt: names are compared exactly.",
                )


def _of_database(subject: str, known: PolicyFit) -> Iterator[PolicyProblem]:
    for message in known.misfits:
        yield PolicyProblem(
            subject,
            f"{message}: the column is refused",
            "Use null or hash, or a fixed text that the type accepts.",
            is_error=True,
        )
    for message in known.copies:
        yield PolicyProblem(subject, message, "Deny or mask it too, if it should not be read.")
