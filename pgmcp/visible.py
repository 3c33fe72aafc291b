"""Text for people, with everything that does not print made visible.

The rule: what a file, a client or an argument says never drives a terminal and never begins a line:
errors (`PgmcpError.for_operator`), the console and the log each put their text through here.
"""

from __future__ import annotations


def visible(text: str) -> str:
    r"""Text with everything that does not print (controls, line ends, bidi marks) as `\uXXXX`."""
    if text.isprintable():
        return text
    return "".join(
        character if character.isprintable() else _escape(ord(character)) for character in text
    )


def _escape(code: int) -> str:
    short = {0x0A: "\\n", 0x0D: "\\r", 0x09: "\\t"}.get(code)
    return short or (f"\\u{code:04x}" if code < 0x10000 else f"\\U{code:08x}")
