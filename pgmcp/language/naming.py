"""How people name tables and columns, as data: what the words of a name say about its values.

The rule: these are words of names in a catalogue; words of questions stand in `words`.
"""

from __future__ import annotations

DELETED_COLUMNS = frozenset({"deleted_at", "deletedAt", "removed_at", "archived_at", "deleted_on"})

PRICES = ("price", "cost", "fee", "fare", "charge", "tariff", "rate", "msrp", "rrp", "srp")
NO_PRICES = frozenset(
    "tax vat interest discount growth exchange conversion heart success error bounce commission"
    " unemployment inflation".split()
)
"""Words of a column whose "rate" is no price."""

ADJECTIVES: dict[str, tuple[tuple[str, ...], int]] = {
    "expensive": (PRICES, 1),
    "costly": (PRICES, 1),
    "cheap": (PRICES, -1),
    "old": (("age",), 1),
    "young": (("age",), -1),
    "long": (("length", "duration", "runtime", "distance"), 1),
    "short": (("length", "duration", "runtime", "distance"), -1),
    "heavy": (("weight", "mass"), 1),
    "light": (("weight", "mass"), -1),
    "tall": (("height",), 1),
}
"""Adjective -> the words of columns it measures, and which way it points."""

BIRTH = frozenset({"birth", "birthday", "birthdate", "dob", "born"})

LABELS = (
    "name",
    "title",
    "full_name",
    "fullName",
    "label",
    "display_name",
    "displayName",
    "fullname",
)
"""Columns that name a row, the most telling first."""

PERSON_NAMES = frozenset(
    "first_name last_name firstname lastname given_name family_name forename surname fname"
    " lname".split()
)
"""Columns that hold a part of a person's name."""

CREATION = frozenset(
    "created added inserted registered joined signed placed ordered issued posted published opened"
    " booked rented started hired submitted".split()
)
"""Words of a date column that say when the row came to be."""
YEARLY = frozenset("founded established built opened released published".split())
"""Words of a column of numbers that can only be years."""
BOOKKEEPING = frozenset(
    "updated modified changed deleted removed archived synced imported checked edited"
    " update updating upd modification modify mod change delete deletion removal archive archival"
    " sync import check edit seen login logon visit visited access accessed touched refresh"
    " refreshed revision revised last latest lastmod lastupdate lastupdated lastmodified lastseen"
    " lastlogin".split()
)
"""Words of a date column that say what happened to the row later, not when it came to be."""
PLANNED = frozenset(
    "due expires expiry expiration scheduled planned deadline until end ends".split()
)
"""Words of a date column that mostly look ahead, so that a month without a year says too little."""

QUANTITIES = frozenset("stock quantity qty count inventory units items pieces".split())
"""Words of a column that counts things, so that none of them is 0 as well as NULL."""

FACT_PARTS = frozenset({"at", "on", "date", "time", "timestamp", "ts", "dat", "datetime", "dt"})
"""The last word of a column that holds when something happened: `shipped_at`."""
FLAG_PARTS = frozenset({"is", "has", "was", "can", "are", "ist", "hat"})
FLAG_LETTERS = (("Y", "N"), ("y", "n"), ("J", "N"), ("T", "F"), ("t", "f"), ("1", "0"))
"""How old schemas write yes and no."""
KIND_PARTS = frozenset({"amt", "nm", "cd", "fl", "flg", "flag", "yn", "ind", "txt", "val"})
"""The last word of a column that says only what kind of value it holds: `salary_amt`."""
KEY_PARTS = frozenset({"id", "cd", "nr", "no", "key", "fk", "code", "uuid", "num", "number", "ref"})
CURRENCY_COLUMNS = frozenset({"currency", "curr", "ccy"})
UNIT_COLUMNS = frozenset({"unit", "uom", "units"})
"""Words of the columns that hold the currency or the unit of an amount beside them."""
MONEY = frozenset(
    "price cost amount total fee fare salary revenue balance sum value budget rate payment".split()
)

SECRETS = frozenset(
    "password passwd passphrase pwd secret salt token credential credentials otp cvv cvc"
    " apikey".split()
)
SECRET_KEYS = frozenset("api private secret access encryption signing license".split())
"""Words of a column that holds a secret; the second with "key" behind them."""

ABBREVIATIONS: dict[str, str] = {
    "qty": "quantity", "amt": "amount", "addr": "address", "desc": "description",
    "descr": "description",
    "cust": "customer", "prod": "product", "inv": "invoice", "cat": "category", "acct": "account",
    "emp": "employee", "dept": "department", "mgr": "manager", "org": "organization",
    "tel": "telephone",
    "dob": "birth date", "fname": "first name", "lname": "last name", "dt": "date", "num": "number",
    "nr": "number", "msg": "message", "img": "image", "loc": "location", "ord": "order",
    "txn": "transaction",
    "pmt": "payment", "usr": "user", "pct": "percent", "avg": "average", "max": "maximum",
    "min": "minimum",
    "yr": "year", "mon": "month", "stat": "status", "sts": "status", "pwd": "password",
    "ref": "reference",
    "grp": "group", "est": "estimated", "nm": "name",
    "tot": "total", "bal": "balance", "curr": "currency", "dat": "date",
}  # fmt: skip
TABLE_PREFIXES = frozenset({"tbl", "tb", "t", "tab", "vw", "v", "dim", "fact", "fct", "app", "mv"})

TABLE_ENDINGS = frozenset({"tbl", "tab"})

LONG_TEXT = frozenset(
    "description body text comment comments note notes content message password hash secret token"
    " url email mail phone salt html json summary bio sku".split()
)
"""Columns whose values nobody names in a question, or nobody should read to understand one."""
