"""PostgreSQL's object identifiers (OIDs), as far as their numbers say something."""

from __future__ import annotations

FIRST_USER_OID = 16384
"""FirstNormalObjectId of transam.h: an object with a lower OID is PostgreSQL's own."""
