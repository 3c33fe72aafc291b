"""Sizes as people write them: "50MB", "20MiB", "500kB", or a plain number of bytes.

The rule: kB, MB and GB are 1000s, kiB, MiB and GiB 1024s, and no other spelling is guessed at.
"""

from __future__ import annotations

import re

LARGEST_BYTES = 1 << 50

_BYTES = {"B": 1} | {
    f"{letter}{unit}": base**power
    for power, letter in enumerate("kMGT", 1)
    for unit, base in (("B", 1000), ("iB", 1024))
}
_SIZE = re.compile(r"([0-9]{1,16})(?:\.([0-9]{1,9}))? ?([A-Za-z]*)", re.ASCII)


def parse(text: str) -> int:
    """Bytes. ValueError for anything but a size of at least one byte and up to 1024 TiB."""
    match = _SIZE.fullmatch(text.strip())
    if match is None or (match[3] or "B") not in _BYTES:
        raise ValueError("it is not a size")
    fraction = match[2] or ""
    scaled = int(match[1] + fraction) * _BYTES[match[3] or "B"]
    return bounded(scaled // 10 ** len(fraction))


def bounded(size: int) -> int:
    """`size` itself, or ValueError outside 1 to 1024 TiB."""
    if not 1 <= size <= LARGEST_BYTES:
        raise ValueError(f"a size is 1 to {LARGEST_BYTES} bytes")
    return size
