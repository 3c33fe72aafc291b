"""The vocabulary: English as data, to read and to extend without touching the grammar.

The rule: only words whose meaning does not depend on the database stand here. A word that is
neither here nor in the catalogue is never skipped; NOISE is the complete list of what may be.
"""

from __future__ import annotations

NOISE = frozenset(
    "the a an all any please kindly just me us our there currently also together".split()
)
"""Words that may stand before anything and change nothing; "either" too, where its "or" follows."""

WEIGHTY = frozenset(
    "not no non never without except excluding but neither nor or unless all both every each only"
    " just exactly least most than over under above below more less fewer before after since until"
    " till between older newer up cheaper costlier longer shorter".split()
)
"""Words without which a question asks for something else, so that none is tried without them."""

UNIVERSAL = frozenset("all every each just entire whole".split())
"""Words that, said of related rows, ask for all of them, or for no others."""

PHRASES: dict[str, tuple[str, ...]] = {
    name: tuple(phrase.strip() for phrase in phrases.split("|"))
    for name, phrases in {
        # -- how a request begins and ends
        "polite": (
            "can you | could you | would you | will you | i want | i want to | i need | "
            "i need to | i would like | i would like to | i d like | i d like to | i wish to | "
            "we need | hi | hello | hey | ok | let me | let me see | may i | may i see | can i | "
            "can i see | could i see | can we see | tell me | do you know | help me | thanks | "
            "thank you | thank you very much | in the database | from the database | "
            "in this database | in our database | in the system | for me"
        ),
        "show": (
            "show | list | display | get | find | give | fetch | see | print | return | select | "
            "retrieve | look up | search for | view | which | what are | what is | which are | "
            "which is | who are | who is | what | i see | list out | pull | output | only | "
            "search | what were | what was"
        ),
        "how many": "how many",
        "count": (
            "count | number of | count of | total number of | amount of rows in | count up | "
            "the number of | number"
        ),
        "exist": (
            "are there | is there | do we have | do you have | exist | have we got | there are | "
            "do i have | are in the database | are stored | we have | you have | were there | "
            "did we have"
        ),
        "rows in": (
            "everything from | everything in | all data from | all data in | data from | "
            "data in | the contents of | contents of | the content of | content of | rows in | "
            "rows are in | rows does | records in | records are in | rows of | entries in | "
            "entries are in | rows | records | entries | rows are there in | records are there in"
        ),
        # -- the catalogue itself
        "tables": "tables | table names | names of tables | relations",
        "views": "views | view names",
        "schemas": "schemas | schemata | schema names | namespaces",
        "columns": "columns | column names | fields | columns and types | column types",
        "describe": (
            "describe | explain | structure of | definition of | schema of | columns of | "
            "columns in | columns does | fields of | columns are in | describe table | "
            "fields in | fields are in | fields does | structure for | columns for"
        ),
        "table": "table | view | table named | table called",
        "schema": "schema",
        "records": "records | rows | entries | list",
        # -- small words
        "of": "of | for | from | in | across | over | among",
        "and": "and | , | as well as | , and | and also | plus",
        "or": "or | , or | , or else",
        "but": (
            "and | but | , but | , and | and that | and who | and which | but who | but that | "
            "and whose | and where | ,"
        ),
        "who": "who | that | which | where | whose | in which | , who | , which | for which | when",
        "be": (
            "is | are | was | were | be | been | being | have been | has been | got | equals | "
            "had been"
        ),
        "is value": (
            "is | are | was | = | equals | equal to | is equal to | of | as | : | set to | "
            "is set to | == | being | are equal to | is exactly | in"
        ),
        "not": "not | non | never | not yet | no longer",
        "except": (
            "except | except for | excluding | other than | but not | apart from | without | "
            "besides | minus | not including"
        ),
        "different from": (
            "is not | are not | other than | is other than | != | <> | different from | "
            "is different from | not | not equal to | is not equal to | is not in | not in"
        ),
        "ones": "ones | those that are | those | the ones",
        "have": (
            "with | have | has | having | had | that have | who have | which have | that has | "
            "who has | which has | includes | including | containing | contains | contain"
        ),
        "have not": (
            "without | have no | has no | with no | having no | do not have | does not have | "
            "not having | lacking | have never had | has never had | did not have | never had | "
            "had no | lack | lacks | missing | with zero | have zero | not have | have not | "
            "with 0 | have 0"
        ),
        "their": (
            "their | its | his | her | the corresponding | corresponding | the associated | "
            "the related | associated"
        ),
        "in": (
            "of | by | for | from | in | at | on | belonging to | that belong to | belong to | "
            "belongs to | within | to | under | who belong to | that belongs to | "
            "which belong to | related to | assigned to | linked to | associated with | "
            "that are in | placed by | made by"
        ),
        "lead": "in | of | at | on",
        "place": (
            "in | from | at | of | living in | based in | located in | who live in | "
            "that live in | situated in | who are from | live in | for | with | on | "
            "who come from | of type"
        ),
        "do": "do | does | did",
        # -- comparing
        ">": (
            "over | above | more than | greater than | higher than | > | exceeding | "
            "larger than | bigger than | of more than | of over | exceeds | is over | is above | "
            "beyond"
        ),
        "<": (
            "under | below | less than | lower than | fewer than | smaller than | < | "
            "of less than | is under | is below"
        ),
        ">=": (
            "at least | >= | no less than | not less than | a minimum of | no fewer than | "
            "minimum of | or more than"
        ),
        "<=": (
            "at most | <= | no more than | not more than | up to | a maximum of | maximum of | "
            "not over | not above"
        ),
        "=": "exactly | precisely | only | =",
        "or more": (
            "or more | or above | or higher | or greater | and more | and above | or over | +"
        ),
        "or less": "or less | or fewer | or below | or lower | or under",
        "between": "between | from | ranging from | in the range",
        "to": "and | to | - | until | through | till",
        "null": (
            "null | missing | empty | not set | unset | unknown | not known | blank | "
            "not given | undefined | not filled in | not specified"
        ),
        "not null": (
            "not null | not missing | not empty | set | known | given | present | not blank | "
            "filled in"
        ),
        "true": "true | yes | on",
        "false": "false | no | off",
        # -- text
        "named": (
            "named | called | titled | with name | with the name | whose name is | with title | "
            "with the title | whose title is | entitled | by the name of"
        ),
        "contains": (
            "contains | containing | contain | includes | including | include | that contains | "
            "which contains | like"
        ),
        "starts": (
            "starts with | starting with | start with | begins with | beginning with | "
            "begin with | starting in | beginning in | start in"
        ),
        "ends": "ends with | ending with | end with | ends in | ending in | end in",
        # -- figures
        "sum": "sum | total | sum of | total of | sum up | sum total of",
        "avg": "average | avg | mean | average of | mean of | avg of",
        "min": "minimum | min | lowest | smallest | minimum of | min of | earliest",
        "max": (
            "maximum | max | highest | largest | biggest | greatest | maximum of | max of | latest"
        ),
        "distinct": "distinct | unique | different",
        "per": "per | by | grouped by | group by | broken down by | split by",
        "for each": (
            "for each | for every | in each | in every | of each | of every | with each | "
            "by each | from each"
        ),
        "each": "each | every",
        # -- order
        "sorted by": (
            "sorted by | ordered by | order by | sort by | arranged by | ranked by | sorted on | "
            "sort them by | order them by | in order of | sorted in order of | "
            "sorted according to | sorted"
        ),
        "by": (
            "by | according to | based on | ordered by | ranked by | sorted by | in terms of | "
            "with the highest | with highest"
        ),
        "ascending": (
            "ascending | asc | in ascending order | from lowest to highest | lowest first | "
            "smallest first | from low to high | increasing | from a to z | "
            "in increasing order | from smallest to largest | a to z | low to high"
        ),
        "descending": (
            "descending | desc | in descending order | from highest to lowest | highest first | "
            "largest first | from high to low | decreasing | biggest first | "
            "in decreasing order | from largest to smallest | from z to a | in reverse order | "
            "high to low"
        ),
        "alphabetical": (
            "alphabetically | in alphabetical order | sorted alphabetically | "
            "ordered alphabetically | alphabetical"
        ),
        "first": "first",
        "then": (
            "then | and then | , then | , and then | and | , | then by | and then by | , then by"
        ),
        "top": "top",
        "bottom": "bottom",
        "last": "last | latest | most recent | newest | recent",
        "earliest": "first | earliest | oldest",
        "most": (
            "the most | most | the highest number of | the largest number of | "
            "the greatest number of | highest number of | largest number of"
        ),
        "fewest": (
            "the fewest | fewest | the least | least | the lowest number of | "
            "the smallest number of | lowest number of"
        ),
        "highest": (
            "highest | largest | biggest | greatest | maximum | latest | most recent | longest | "
            "newest | most"
        ),
        "lowest": "lowest | smallest | least | minimum | earliest | oldest | shortest | fewest",
        "limit": "limit | limited to | limit to | at most | maximum",
    }.items()
}
"""What phrases mean to the grammar: a name -> its phrases, in lower case."""

UNITS = {
    word: unit
    for unit in ("day", "week", "month", "quarter", "year")
    for word in (unit, unit + "s")
}
MONTHS = {
    name: number
    for number, names in enumerate(
        "january jan|february feb|march mar|april apr|may|june jun|july jul|august aug"
        "|september sep sept|october oct|november nov|december dec".split("|"),
        start=1,
    )
    for name in names.split()
}
NUMBERS = {
    word: number
    for number, word in enumerate(
        "zero one two three four five six seven eight nine ten eleven twelve".split()
    )
} | {"twenty": 20, "thirty": 30, "fifty": 50, "hundred": 100}

OPPOSITES = {
    "inactive": "active", "disabled": "enabled", "unavailable": "available", "invalid": "valid",
    "incomplete": "complete", "disapproved": "approved", "invisible": "visible",
    "private": "public",
}  # fmt: skip
NEGATING_PREFIXES = ("non", "un", "in")

NOT_DELETED = frozenset({"active", "current", "existing", "undeleted"})
"""What a row is, where the table has no such column or value but marks deletion with a time."""
COMPARATIVES: dict[str, str] = {
    "more expensive": "expensive", "costlier": "costly", "pricier": "expensive",
    "costing more": "expensive",
    "cheaper": "cheap", "less expensive": "cheap", "costing less": "cheap",
    "that cost more": "expensive",
    "that cost less": "cheap",
    "cost more": "expensive", "cost less": "cheap", "costs more": "expensive", "older": "old",
    "younger": "young", "longer": "long", "shorter": "short",
    "heavier": "heavy", "lighter": "light", "taller": "tall", "which cost more": "expensive",
    "which cost less": "cheap",
}  # fmt: skip
SUPERLATIVES: dict[str, str] = {
    "most expensive": "expensive", "priciest": "expensive", "costliest": "costly",
    "cheapest": "cheap",
    "least expensive": "cheap", "oldest": "old", "youngest": "young", "longest": "long",
    "shortest": "short", "heaviest": "heavy", "lightest": "light", "tallest": "tall",
}  # fmt: skip
AGES = ("years old", "years of age", "year old", "years")
NEWNESS = frozenset({"newest", "latest", "most recent", "recent", "last"})
OLDNESS = frozenset({"oldest", "earliest", "first"})
UNIT_PARTS: dict[str, tuple[str, ...]] = {
    "minutes": ("minute", "minutes", "min", "mins"), "hours": ("hour", "hours", "hr", "hrs"),
    "seconds": ("second", "seconds", "sec", "secs"), "days": ("day", "days"),
    "kg": ("kg", "kilo", "kilos",
    "kilogram", "kilograms"), "g": ("gram", "grams"), "cm": ("cm", "centimetres", "centimeters"),
    "m": ("metres", "meters", "metre", "meter"), "km": ("km", "kilometres", "kilometers"),
    "ms": ("ms", "millisecond", "milliseconds", "millis"), "mg": ("mg", "milligram", "milligrams"),
    "percent": ("percent", "%", "pct"), "eur": ("euro", "euros", "eur", "€"),
    "cents": ("cent", "cents"),
    "usd": ("dollar", "dollars", "usd", "$"), "gbp": ("pound", "pounds", "gbp", "£"),
    "years": ("years", "year"),
}  # fmt: skip
"""A column's unit -> how people write it after a number."""
CURRENCIES = frozenset({"eur", "usd", "gbp"})
MODALS = frozenset(
    "might may could should would will shall must maybe perhaps hardly almost nearly probably"
    " used".split()
)
