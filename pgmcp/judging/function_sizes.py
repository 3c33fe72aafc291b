"""What PostgreSQL's own functions make of large arguments: how large a value, in how many steps.

Found by trying every function of pg_proc, in PostgreSQL 15 and 18, with arguments of 200 kB and a
statement_timeout. Built-in functions never change their OID. An aggregate's and an SRF's rows come
one by one, between which PostgreSQL looks for a time-out, so they are not here.
"""

from __future__ import annotations

from collections.abc import Mapping

# The size depends on a number or on the product of two arguments: `growth` has a rule for each.
REPEAT = frozenset({1622})
PAD = frozenset({668, 873, 874, 879, 880})  # character(n), lpad, rpad
BIT = frozenset({1685})  # bit(n)
FILL = frozenset({1193, 1286})  # array_fill
FORMAT = frozenset({3539, 3540})
REPLACE = frozenset({2087, 2284, 2285, 6251, 6252, 6253})  # replace, regexp_replace
REWRITE = frozenset({3684})  # ts_rewrite
JOIN = frozenset({384, 395})  # array_to_string: the separator, once for each element
JOIN_FIRST = frozenset({3059})  # concat_ws
POINTS = frozenset({1475})  # polygon(number, circle)
GROWING = REPEAT | PAD | BIT | FILL | FORMAT | REPLACE | REWRITE | JOIN | JOIN_FIRST | POINTS

_ESCAPED = 6  # "\u0001" or "&quot;" for one character
_PIECES = 64  # a piece of two bytes takes up to 64 while an array, a document or a list is made

OUTPUT: Mapping[int, int] = {
    **dict.fromkeys((1282, 1283, 1285, 1289, 1290), 2),  # quote_ident, quote_literal, …
    1946: 4,  # encode
    **dict.fromkeys((3176, 3787, 3155, 3156), _ESCAPED),  # to_json, to_jsonb, row_to_json
    **dict.fromkeys((3153, 3154), _ESCAPED),  # array_to_json
    **dict.fromkeys((3198, 3200, 3202, 3203), _ESCAPED),  # json_build_…, json_object
    **dict.fromkeys((3271, 3273, 3263, 3264), _ESCAPED),  # jsonb_build_…, jsonb_object
    **dict.fromkeys((1768, 1770, 1772, 1773, 1774, 1775, 1776, 2049), 9),  # to_char
    **dict.fromkeys((376, 394), 8),  # string_to_array
    **dict.fromkeys((2767, 2768, 2763, 2764, 3396, 3397), 8),  # regexp_split_to_array, …
    4350: 11,  # normalize
    3306: 16,  # jsonb_pretty
    **dict.fromkeys((2895, 2896, 3813), _ESCAPED),  # xmlcomment, xml, xmltext
}
"""By how much a value may be larger than the arguments that it is made of."""

WORK: Mapping[int, int] = {
    **dict.fromkeys((376, 394), _PIECES),  # string_to_array
    **dict.fromkeys((2767, 2768, 2763, 2764, 3396, 3397), _PIECES),  # regexp_split_to_array, …
    **dict.fromkeys((2765, 2766, 6160, 6161), _PIECES),  # regexp_split_to_table, string_to_table
    **dict.fromkeys((3745, 3749, 4209, 4210, 4211, 4212), _PIECES),  # to_tsvector
    **dict.fromkeys((4213, 4214, 4215, 4216), _PIECES),  # json(b)_to_tsvector
    **dict.fromkeys((3746, 3747, 3750, 3751, 5001, 5006, 5007, 5009), _PIECES),  # to_tsquery, …
    **dict.fromkeys((3743, 3744, 3754, 3755, *range(4201, 4209)), _PIECES),  # ts_headline
    **dict.fromkeys((2895, 2896, 2931, 2932, 3813), _PIECES),  # xml, xpath
    **dict.fromkeys((3787, 3271, 3273, 3263, 3264), 16),  # to_jsonb, jsonb_build_…
    **dict.fromkeys((3301, 3302, 3303, 3343, 3306, 5054, 3305, 3579), 16),  # jsonb's operators
    **dict.fromkeys((3669, 3670, 3671, 5003, 5004), 4),  # && || !! <-> of tsquery
    4350: 11,
}
"""By how much the memory that a call needs may be larger than its arguments."""

CAST_OUTPUT, CAST_WORK = 4, _PIECES  # through text: json(b), arrays, tsvector, xml, bytea

SQUARE_ROOTS = frozenset({1730, 1731})
NUMERIC = frozenset({1726, 1727, 1728, 1729, 1973, 1980}) | SQUARE_ROOTS
"""* / mod % div sqrt of numeric, which has a largest size of its own."""

_WITH_BOTH = (
    # position, strpos, of text, bytea and bit; LIKE and ILIKE in their spellings
    (849, 1698, 2014, 868),
    (850, 851, 1631, 1632, 1633, 1634, 1660, 1661, 2005, 2006, 858, 859, 1635, 1636),
    (1569, 1570, 1571, 1572, 2007, 2008),
    (878, 884, 2015, 875, 876, 6195, 6196),  # translate, btrim, ltrim, rtrim
    (2087, 2088, 376, 394, 6160, 6161),  # replace, split_part, string_to_array, string_to_table
    (2747, 2748, 2749),  # && @> <@ of arrays
    (4046, 4048, 4049, 4050, 3343),  # @> ?| ?& <@ - of jsonb
    (370, 973, 729, 339, 340, 345, 346),  # of paths and polygons
    (3691, 3692),  # @> <@ of tsquery
    NUMERIC - SQUARE_ROOTS,
)
STEPS: Mapping[int, tuple[int, int]] = {
    **{oid: (0, 1) for group in _WITH_BOTH for oid in group},
    **dict.fromkeys(SQUARE_ROOTS, (0, 0)),
    **dict.fromkeys((4350, 4351), (0, 0)),  # normalize, IS NORMALIZED: a run of combining marks
    **dict.fromkeys((3750, 3751, 5001, 5009), (0, 0)),  # to_tsquery, plainto_tsquery, …
    **dict.fromkeys((3746, 3747, 5006, 5007), (1, 1)),  # the same with a configuration
}
"""Which two arguments' sizes multiply to the steps that a call takes; no time-out ends it."""

STEP_WEIGHTS: Mapping[int, int] = dict.fromkeys((370, 973, 729), 100)
"""What a step costs that is no comparison of two bytes: the distance of two paths."""

BYTE_STEPS: Mapping[int, int] = dict.fromkeys((3669, 3670, 3671, 5003, 5004), 200)
"""Steps for each byte of the arguments, where they are many more than others take: && || !! <-> of
tsquery make a tree of all that is in their arguments, and a value of the tree."""

NUMBER_STEPS: Mapping[int, int] = {
    **dict.fromkeys((1376, 1732, 1733), 15_000_000),  # factorial, exp
    **dict.fromkeys((1734, 1735, 1736, 1737, 1741), 10_000_000),  # ln, log
    **dict.fromkeys((1738, 1739, 2169), 300_000_000),  # power
}
"""Steps of a call whose numbers may have many digits, whatever the size of its arguments."""

POWERS = frozenset({1738, 1739, 2169})
SMALL_POWER_STEPS = 2_000_000
"""Steps of a power whose two numbers are columns, or constants below 1,000."""

RANKS: Mapping[int, int] = {
    **dict.fromkeys((3703, 3704, 3707, 3708), 1),
    **dict.fromkeys((3705, 3706, 3709, 3710), 0),
}
"""ts_rank, ts_rank_cd: which argument is the tsvector; the tsquery is the next one."""
COVER_RANKS = frozenset({3707, 3708, 3709, 3710})
"""Those that keep all of the query's terms with each position."""

NUMERIC_TYPE = 1700
XML_OF_TEXT = 2896
TSQUERY_TYPE, XML_TYPE = 3615, 142
"""A cast of text to it takes the square of the text's size in steps."""
LONG_NUMERICS = frozenset({1376, 1732, 1733, 1738, 1739, 2169})
"""exp, power, ^ and factorial: they make numbers of many digits of small ones."""

XPATH: Mapping[int, tuple[int, int]] = dict.fromkeys((2614, 2931, 2932, 3049, 3050), (0, 1))
"""xmlexists, xpath, xpath_exists: which argument is the path, and which the document."""

COLLECTING = frozenset(
    {3538, 3545, 2335, 4053, 2901, 3175, 3267, 3197, 3270, 4301, 6227, *range(6276, 6292)}
)
"""Aggregates whose value has all their rows in it: string_agg, array_agg, json_agg, …"""

FIXED_TYPES = frozenset(
    {16, 18, 19, 20, 21, 23, 26, 700, 701, 790, 1082, 1083, 1114, 1184, 1186, 1266, 2950, 3220}
)
"""Types whose values have one size, at most 64 bytes: numbers, times, names, uuid."""
