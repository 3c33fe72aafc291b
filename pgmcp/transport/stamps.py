"""What each answer is stamped with: the id of its request, and the date.

The rule: neither costs a call anything that another call has paid for already.
"""

from __future__ import annotations

import itertools
import secrets
import time
from email.utils import formatdate


class RequestIds:
    """Ids that no other request of this server has; they are no secret."""

    def __init__(self) -> None:
        self._prefix = secrets.token_hex(3)  # tells the runs of a server apart in a log
        self._numbers = itertools.count(1)

    def next(self) -> str:
        """Another id."""
        return f"{self._prefix}{next(self._numbers) & 0xFFFFFF:06x}"


class DateField:
    """The Date field of an answer, made once in a second."""

    def __init__(self) -> None:
        self._made = (0, "")

    def text(self) -> str:
        """Now, as the field has it (RFC 9110, 5.6.7)."""
        now = int(time.time())
        second, text = self._made
        if now != second:
            text = formatdate(now, usegmt=True)
            self._made = (now, text)
        return text
