"""The root of the errors, and how text of others is shown in a message."""

from __future__ import annotations

COMMAND = "./pgedge-postgres-mcp"
"""How messages spell this program, as the guide does. Where it is called, the command line puts the
words that call it (`cli.invocation`)."""


def visible(text: str) -> str:
    r"""Text with everything that does not print (controls, line ends, bidi marks) as `\uXXXX`."""
    if text.isprintable():
        return text
    return "".join(
        character if character.isprintable() else _escape(ord(character)) for character in text
    )


def shortened(text: str) -> str:
    """What a client sent, as far as an error repeats it: 100 characters."""
    return text if len(text) <= 100 else text[:100] + "…"


def _escape(code: int) -> str:
    short = {0x0A: "\\n", 0x0D: "\\r", 0x09: "\\t"}.get(code)
    return short or (f"\\u{code:04x}" if code < 0x10000 else f"\\U{code:08x}")


class PgmcpError(Exception):
    """The root: what went wrong, and what to do next.

    `gate` names the gate that refused, for the audit; "" when it was no refusal.
    """

    gate = ""

    def __init__(self, message: str, hint: str = "") -> None:
        super().__init__(message)
        self.message = message
        self.hint = hint

    def for_operator(self) -> str:
        """The lines a command prints on stderr: `ERROR: …`, then what to do next.

        They may repeat what a file or an argument says, which must not drive the terminal, nor
        begin a line in a message; a hint has lines of its own.
        """
        hints = self.hint.split("\n") if self.hint else []
        return "\n".join(map(visible, (f"ERROR: {self.message}", *hints)))

    def for_client(self) -> str:
        """The text of a tool result that failed."""
        return self.message + (f"\nHint: {self.hint}" if self.hint else "")
