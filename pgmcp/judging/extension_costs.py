"""What functions of contrib's extensions cost, as `function_sizes` says it of PostgreSQL's own.

Found by trying them, in PostgreSQL 15 and 18, with large arguments and a statement_timeout. An
extension's function has another OID in each database: these are known by name.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import NamedTuple


class Cost(NamedTuple):
    """What one call takes, in steps that no time-out ends and in bytes of memory.

    `product`: which two arguments' sizes multiply, times `weight`. `chosen`: an argument, and the
    steps of a call where the caller has written that argument, or a part of it, himself.
    `output`: by how much the value may be larger than the arguments; `memory`: bytes for each byte
    of the arguments.
    """

    product: tuple[int, int] | None = None
    weight: int = 1
    per_byte: int = 10
    per_call: int = 0
    chosen: tuple[int, int] | None = None
    output: int = 1
    memory: int = 0


_BOTH = Cost(product=(0, 1))
_DISTANCE = Cost(product=(0, 1), weight=15)  # levenshtein
_TRIGRAMS = Cost(per_byte=1200, memory=16)  # sorted; what rows bring together is refused
_CIPHER = Cost(per_byte=100, memory=3)
_HASHED_PASSWORD = Cost(per_byte=2000, per_call=10_000_000)  # md5 hashes the password 1,000 times
# A message says how often the password is hashed, 65 million bytes at most, and zlib unpacks one
# byte to 1,032 at most; to encrypt, the options say it.
_MANY_HASHES = 500_000_000
_UNPACKED = Cost(
    per_byte=100, per_call=3_000_000, chosen=(0, _MANY_HASHES), output=1032, memory=3 * 1032
)
_PACKED = Cost(per_byte=100, per_call=3_000_000, chosen=(2, _MANY_HASHES), output=2, memory=6)
_KEY_STEPS = 50_000_000  # of arithmetic with a public key's numbers

COSTS: Mapping[tuple[str, str], Cost] = {
    (extension, name): cost
    for extension, names, cost in (
        ("citext", "translate texticlike texticnlike", _BOTH),
        ("ltree", "index ltxtq_exec ltxtq_rexec", _BOTH),
        (
            "pg_trgm",
            " ".join(
                f"{strict}word_similarity{end}"
                for strict in ("", "strict_")
                for end in ("", "_op", "_commutator_op", "_dist_op", "_dist_commutator_op")
            ),
            Cost(product=(0, 1), memory=16),
        ),
        ("pg_trgm", "similarity similarity_op similarity_dist show_trgm", _TRIGRAMS),
        ("fuzzystrmatch", "levenshtein levenshtein_less_equal", _DISTANCE),
        ("pgcrypto", "crypt", _HASHED_PASSWORD),
        ("pgcrypto", "encrypt encrypt_iv decrypt decrypt_iv", _CIPHER),
        ("pgcrypto", "pgp_sym_decrypt pgp_sym_decrypt_bytea", _UNPACKED),
        ("pgcrypto", "pgp_sym_encrypt pgp_sym_encrypt_bytea", _PACKED),
        (
            "pgcrypto",
            "pgp_pub_decrypt pgp_pub_decrypt_bytea",
            _UNPACKED._replace(per_call=_KEY_STEPS),
        ),
        (
            "pgcrypto",
            "pgp_pub_encrypt pgp_pub_encrypt_bytea",
            _PACKED._replace(per_call=_KEY_STEPS),
        ),
    )
    for name in names.split()
}
"""By the extension and the function's name."""
