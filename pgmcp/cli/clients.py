"""The entries of MCP clients' configurations: one table, for -print-client and for our pages.

The rule: no secret is written. A token comes from the variable `PGMCP_TOKEN` or from a question of
the client, and where a client has neither its place is marked. Text in, text out.

Sources, read in November 2026: code.claude.com/docs/en/mcp, github.com/geelen/mcp-remote,
modelcontextprotocol.io/quickstart/user, cursor.com/docs/mcp,
code.visualstudio.com/docs/copilot/reference/mcp-configuration,
github.com/google-gemini/gemini-cli/blob/main/docs/tools/mcp-server.md, `codex mcp add --help`
(0.171) and modelcontextprotocol.io/docs/latest/tools/inspector. Claude Code 2.1, Gemini CLI 0.61
and Codex were run with what this prints.
"""

from __future__ import annotations

import json
import shlex
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from urllib.parse import urlsplit

from pgmcp.config.addresses import is_loopback

NAME = "postgres"
"""What the client calls the server."""

TOKEN_VARIABLE = "PGMCP_TOKEN"  # noqa: S105
EXAMPLE_COMMAND = ("/path/to/pgedge-postgres-mcp", "-config", "/path/to/pgedge-postgres-mcp.yaml")
"""What our pages have clients start."""
_PLACEHOLDER = "YOUR_TOKEN_HERE"
_HOME = {"macOS and Linux": "~/", "Windows": "%USERPROFILE%\\"}
_TOKEN_IN_ENVIRONMENT = (
    f"Give the client's environment {TOKEN_VARIABLE}, with a token that -add-token made."
)


@dataclass(frozen=True, slots=True)
class KnownClient:
    """One client.

    `stdio` writes what starts a command, `http` what calls a URL, with a token or without:
    a command for the shell (`language` "sh") or the whole text of a file that has no other entry.
    `files` says where that is kept, by system. `token_note` says where the token goes.
    `authority_variable` names the file of a private authority's certificate.
    """

    name: str
    title: str
    language: str
    stdio: Callable[[Sequence[str]], str]
    http: Callable[[str, bool], str]
    files: Mapping[str, str]
    token_note: str = _TOKEN_IN_ENVIRONMENT
    note: str = ""
    authority_variable: str = "NODE_EXTRA_CA_CERTS"

    def notes(self, url: str = "", *, token: bool = True) -> Sequence[str]:
        """What to know beside the entry: where it belongs, and where the token goes."""
        put = "It changes" if self.language == "sh" else "It belongs into"
        lines = [f"{put} {path} ({system})" for system, path in self.files.items()]
        if self.note:
            lines.append(self.note)
        if url and token:
            lines.append(self.token_note)
        if url.startswith("https://"):
            lines.append(
                "Where a private authority signed the certificate, give the client's environment"
                f" {self.authority_variable}, with the path of the authority's certificate (PEM)."
            )
        return lines


def _json(value: object) -> str:
    return json.dumps(value, indent=2, ensure_ascii=False)


def _started(command: Sequence[str]) -> dict[str, object]:
    return {"command": command[0], "args": list(command[1:])}


def _mcp_servers(entry: object) -> str:
    return _json({"mcpServers": {NAME: entry}})


def _headers(value: str, token: bool) -> dict[str, object]:
    return {"headers": {"Authorization": f"Bearer {value}"}} if token else {}


def _claude_desktop_http(url: str, token: bool) -> str:
    """Claude Desktop starts programs only; mcp-remote calls the URL for it."""
    parts = urlsplit(url)
    plain = parts.scheme == "http" and not is_loopback(parts.hostname or "")
    words = ["mcp-remote", url, *(["--allow-http"] if plain else [])]
    if not token:
        return _mcp_servers({"command": "npx", "args": words})
    # The value has a blank, which some versions lose in an argument.
    words += ["--header", "Authorization:${AUTH_HEADER}"]
    environ = {"AUTH_HEADER": f"Bearer {_PLACEHOLDER}"}
    return _mcp_servers({"command": "npx", "args": words, "env": environ})


def _claude_code_http(url: str, token: bool) -> str:
    words = ["claude", "mcp", "add", "--scope", "user", "--transport", "http", NAME, url]
    more = ["--header", f"Authorization: Bearer ${{{TOKEN_VARIABLE}}}"] if token else []
    return shlex.join([*words, *more])


def _gemini_http(url: str, token: bool) -> str:
    words = ["gemini", "mcp", "add", "--scope", "user", "--transport", "http"]
    more = ["--header", f"Authorization: Bearer ${TOKEN_VARIABLE}"] if token else []
    return shlex.join([*words, *more, NAME, url])


def _codex_http(url: str, token: bool) -> str:
    more = ["--bearer-token-env-var", TOKEN_VARIABLE] if token else []
    return shlex.join(["codex", "mcp", "add", NAME, "--url", url, *more])


def _inspector_http(url: str, token: bool) -> str:
    command = shlex.join([*_INSPECTOR, "--transport", "http", "--server-url", url])
    more = f' --header "Authorization: Bearer ${TOKEN_VARIABLE}"' if token else ""
    return command + more


def _cursor_http(url: str, token: bool) -> str:
    return _mcp_servers({"url": url, **_headers(f"${{env:{TOKEN_VARIABLE}}}", token)})


def _vscode_http(url: str, token: bool) -> str:
    asked = {"type": "promptString", "id": "pgmcp-token", "description": "Token of the database"}
    inputs = {"inputs": [{**asked, "password": True}]} if token else {}
    entry = {"type": "http", "url": url, **_headers("${input:pgmcp-token}", token)}
    return _json({**inputs, "servers": {NAME: entry}})


_INSPECTOR = ("npx", "@modelcontextprotocol/inspector")

CLIENTS = (
    KnownClient(
        "claude-desktop",
        "Claude Desktop",
        "json",
        lambda command: _mcp_servers(_started(command)),
        _claude_desktop_http,
        {
            "macOS": "~/Library/Application Support/Claude/claude_desktop_config.json",
            "Windows": "%APPDATA%\\Claude\\claude_desktop_config.json",
            "Linux": "~/.config/Claude/claude_desktop_config.json",
        },
        f"Put a token that -add-token made in place of {_PLACEHOLDER}; npx needs Node.js.",
        "Then quit Claude Desktop, and start it again.",
    ),
    KnownClient(
        "claude-code",
        "Claude Code",
        "sh",
        lambda command: shlex.join(
            ["claude", "mcp", "add", "--scope", "user", NAME, "--", *command]
        ),
        _claude_code_http,
        {system: f"{home}.claude.json" for system, home in _HOME.items()},
        note="See it with: claude mcp list",
    ),
    KnownClient(
        "cursor",
        "Cursor",
        "json",
        lambda command: _mcp_servers(_started(command)),
        _cursor_http,
        {"macOS and Linux": "~/.cursor/mcp.json", "Windows": "%USERPROFILE%\\.cursor\\mcp.json"},
        note="For one project: .cursor/mcp.json in its folder.",
    ),
    KnownClient(
        "vscode",
        "VS Code",
        "json",
        lambda command: _json({"servers": {NAME: {"type": "stdio", **_started(command)}}}),
        _vscode_http,
        {
            "macOS": "~/Library/Application Support/Code/User/mcp.json",
            "Windows": "%APPDATA%\\Code\\User\\mcp.json",
            "Linux": "~/.config/Code/User/mcp.json",
        },
        "VS Code asks for the token once: give it one that -add-token made.",
        "For one project: .vscode/mcp.json in its folder.",
    ),
    KnownClient(
        "gemini",
        "Gemini CLI",
        "sh",
        lambda command: shlex.join(
            ["gemini", "mcp", "add", "--scope", "user", NAME, command[0], "--", *command[1:]]
        ),
        _gemini_http,
        {
            "macOS and Linux": "~/.gemini/settings.json",
            "Windows": "%USERPROFILE%\\.gemini\\settings.json",
        },
        note="See it with: gemini mcp list (in a folder that Gemini CLI was told to trust)",
    ),
    KnownClient(
        "codex",
        "Codex",
        "sh",
        lambda command: shlex.join(["codex", "mcp", "add", NAME, "--", *command]),
        _codex_http,
        {
            "macOS and Linux": "~/.codex/config.toml",
            "Windows": "%USERPROFILE%\\.codex\\config.toml",
        },
        note="See it with: codex mcp list",
        authority_variable="CODEX_CA_CERTIFICATE",
    ),
    KnownClient(
        "inspector",
        "MCP Inspector",
        "sh",
        lambda command: shlex.join([*_INSPECTOR, "--", *command]),
        _inspector_http,
        {},
        f"Set {TOKEN_VARIABLE} in this shell first, to a token that -add-token made.",
        "It opens a page in the browser; npx needs Node.js.",
    ),
)


def render_section(
    client: KnownClient,
    *,
    command: Sequence[str] = EXAMPLE_COMMAND,
    url: str = "https://db.example.com:8080/mcp/v1",
    heading: str = "###",
) -> str:
    """The section of a page about one client, in Markdown: started by the client, and over HTTP."""
    started, called = client.notes(), client.notes(url)
    lines = [f"{heading} {client.title}", "", f"`-print-client {client.name}` prints this:", ""]
    lines += [f"```{client.language}", client.stdio(command), "```", ""]
    lines += [*map(_item, started), ""] if started else []
    lines += [f"Over HTTP (`-print-client {client.name} -url {url}`):", ""]
    lines += [f"```{client.language}", client.http(url, True), "```", ""]
    lines += [_item(note) for note in called if note not in started]
    return "\n".join(lines) + "\n"


def _item(note: str) -> str:
    import textwrap  # here: no client's entry needs it

    return textwrap.fill(note, 98, initial_indent="- ", subsequent_indent="  ")
