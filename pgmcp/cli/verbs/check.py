"""`-check`: what would work and what would not, without serving."""

from __future__ import annotations

from typing import TYPE_CHECKING

from pgmcp.cli.flag_table import PROGRAM
from pgmcp.cli.verb import Command, Verb

if TYPE_CHECKING:
    from pgmcp.cli.finding import Finding
    from pgmcp.config.model import Config


def check(command: Command, config: Config) -> int:
    """Look at everything that the configuration names; 1 when something would not work."""
    from pgmcp.cli.finding import render  # here: what looks at databases and TLS is slow to load
    from pgmcp.cli.server_findings import all_findings

    findings: list[Finding] = []
    for finding in all_findings(config, command.clock()):
        findings.append(finding)
        for line in render(finding):
            command.console.say(command.called.pasteable(line))
    wrong = sum(finding.status == "error" for finding in findings)
    doubtful = sum(finding.status == "warning" for finding in findings)
    command.console.say("", f"{len(findings)} checks: {wrong} errors, {doubtful} warnings")
    return 1 if wrong else 0


VERBS = (
    Verb(
        "check", PROGRAM, "Check files, databases and roles, without serving.", check, ("config",)
    ),
)
