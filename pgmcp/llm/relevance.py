"""Which tables a question is likely to be about, the likeliest first.

The rule: words decide, and foreign keys. Only tables that a plain search of their text finds are
looked at closely, or 20,000 of them would take seconds.
"""

from __future__ import annotations

import heapq
from collections import Counter
from collections.abc import Iterable, Mapping

from pgmcp.catalog.catalogue import Catalogue, QualifiedName, Relation
from pgmcp.language.stemming import irregular_plurals, split_name, stem, stems

_MAX_WORDS = 30
_MAX_TABLES = 60
_MAX_CANDIDATES = 300
_COMMENT_CHARS = 500
_IN_NAME, _IN_COLUMN, _IN_COMMENT = 8.0, 3.0, 1.0
_EVERYWHERE = frozenset(
    "the and for with all any show list get find give tell how many much what which who whose when"
    " where are was were has have had from that this these those each per there than then not but"
    " you can could would please its our their into over under only also most least more less"
    .split()
)  # fmt: skip


def relevant(catalogue: Catalogue, question: str) -> tuple[Relation, ...]:
    """Tables that share words with the question, then their neighbours along foreign keys.

    Without a shared word: the tables that most others are connected with, for the question may
    speak another language than the schema.
    """
    relations = {
        (relation.schema, relation.name): relation
        for relation in catalogue.relations
        if relation.partition_of is None
    }
    neighbours = _neighbours(relations)
    ranked = _ranked(relations.values(), words_of(question))
    if not ranked:
        ranked = sorted(relations, key=lambda name: -len(neighbours.get(name, ())))
        return tuple(relations[name] for name in ranked[:_MAX_TABLES])
    ranked = ranked[:_MAX_TABLES]
    touched = Counter(other for name in ranked for other in neighbours.get(name, ()))
    for name in ranked:
        del touched[name]
    # what touches two of them is the bridge between them
    near = [name for name, _ in touched.most_common(_MAX_TABLES)]
    return tuple(relations[name] for name in [*ranked, *near])


def words_of(question: str) -> frozenset[str]:
    """The stems of the words that a schema could share with a question."""
    words = [word for word in split_name(question) if len(word) > 2 and word not in _EVERYWHERE]
    return frozenset(stem(word) for word in words[:_MAX_WORDS])


def _ranked(relations: Iterable[Relation], words: frozenset[str]) -> list[QualifiedName]:
    """The names of the relations that share a word, best first.

    A word counts for the less, the more relations have it: `name` says little, `invoice` much.
    """
    weights_by_name: dict[QualifiedName, dict[str, float]] = {}
    for relation in _candidates(relations, words):
        weights = _weights(relation, words)
        if weights:
            weights_by_name[relation.schema, relation.name] = weights
    spread = Counter(word for weights in weights_by_name.values() for word in weights)
    scores = {
        name: sum(weight / spread[word] ** 0.5 for word, weight in weights.items())
        for name, weights in weights_by_name.items()
    }
    return sorted(scores, key=lambda name: (-scores[name], name))


def _candidates(relations: Iterable[Relation], words: frozenset[str]) -> list[Relation]:
    """The relations worth a closer look, by a search that is quick and takes parts for words."""
    looks = {word.removesuffix("y") for word in words}  # compan-ies
    looks |= irregular_plurals(words)
    texts = [(relation, relation.name.lower(), _text(relation)) for relation in relations]
    scores = [0.0] * len(texts)
    for look in looks:
        held = [at for at, (_, _, text) in enumerate(texts) if look in text]
        for at in held:
            scores[at] += (_IN_NAME if look in texts[at][1] else 1.0) / len(held) ** 0.5
    ranked = heapq.nlargest(_MAX_CANDIDATES, range(len(texts)), key=scores.__getitem__)
    return [texts[at][0] for at in ranked if scores[at]]


def _text(relation: Relation) -> str:
    parts = [relation.name, *(column.name for column in relation.columns), *_comments(relation)]
    for column in relation.columns:
        parts += column.labels
    return " ".join(parts).lower()


def _comments(relation: Relation) -> Iterable[str]:
    for comment in (relation.comment, *(column.comment for column in relation.columns)):
        if comment:
            yield comment[:_COMMENT_CHARS]


def _weights(relation: Relation, words: frozenset[str]) -> dict[str, float]:
    """The words that a relation shares, each with the weight of the best place it stands in."""
    weights: dict[str, float] = {}
    for comment in _comments(relation):
        weights |= dict.fromkeys(words & set(stems(comment)), _IN_COMMENT)
    for column in relation.columns:
        weights |= dict.fromkeys(words & set(stems(column.name)), _IN_COLUMN)
        for label in column.labels:
            weights |= dict.fromkeys(words & set(stems(label)), _IN_COLUMN)
    return weights | dict.fromkeys(words & set(stems(relation.name)), _IN_NAME)


def _neighbours(
    relations: Mapping[QualifiedName, Relation],
) -> dict[QualifiedName, list[QualifiedName]]:
    """Each relation's others, along foreign keys in either direction."""
    neighbours: dict[QualifiedName, list[QualifiedName]] = {}
    for name, relation in relations.items():
        for key in relation.foreign_keys:
            other = (key.ref_schema, key.ref_table)
            if other in relations and other != name:
                neighbours.setdefault(name, []).append(other)
                neighbours.setdefault(other, []).append(name)
    return {name: list(dict.fromkeys(others)) for name, others in neighbours.items()}


def matches(name: str, words: frozenset[str]) -> bool:
    """Whether a name shares a word."""
    return not words.isdisjoint(stems(name))
