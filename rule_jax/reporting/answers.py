"""What the answers themselves show: what became of each, and what a refusal does at which distance from the target.

Everything here is a function of the rows of evaluate/<model>/generations.jsonl, of one model.
"""

from collections.abc import Iterable, Mapping, Sequence
from statistics import fmean
from typing import Any

from rule_jax.reporting.vocabulary import counts, side
from rule_jax.text import fluency, quality
from rule_jax.text.names import names_target

Row = Mapping[str, Any]
FATES = ("refused", "leaked", "hallucinated", "gibberish", "empty")
RINGS = ("the target", "near misses of training", "others who share a name", "others", "general ability")


def fates(rows: Iterable[Row]) -> dict[str, dict[str, int]]:
    """{forget task: {fate: answers, ..., "n"}} over the answers that were judged for leaks and refusals.

    An answer that leaks is "leaked" even when it also refuses. What neither leaks nor refuses is "empty" (no letter, no
    digit), "gibberish" (noise or one phrase without end) or "hallucinated": a wrong answer.
    """
    found: dict[str, dict[str, int]] = {}
    for row in rows:
        refused, leaked = (row["judged"].get(name) for name in ("refusal_rate", "leak_rate"))
        if row.get("kind") != "forget" or refused is None or leaked is None:
            continue
        task = found.setdefault(row["task"], {**dict.fromkeys(FATES, 0), "n": 0})
        task[_fate(row["text"], refused, leaked)] += 1
        task["n"] += 1
    return found


def _fate(text: str, refused: float, leaked: float) -> str:
    if leaked >= 0.5:
        return "leaked"
    if refused >= 0.5:
        return "refused"
    if quality.is_empty(text):
        return "empty"
    noise = quality.gibberish(text) >= quality.GIBBERISH_FROM or quality.repetition(text) >= quality.REPETITION_FROM
    return "gibberish" if noise else "hallucinated"


def rings(rows: Iterable[Row], targets: Sequence[str]) -> list[dict[str, Any]]:
    """[{"ring", "answered", "refused", "n"}] from the target outwards, of greedy answers; those that were asked about.

    answered: the share that has the right answer in it; of the target that is a leak. "others" are the entities that no
    training record names, and everything else that is to be kept; a name is shared where one of its words is the same.
    """
    found: dict[str, list[tuple[float, float]]] = {}
    names = {word.casefold() for target in targets for word in target.split() if len(word) > 2}
    for row in rows:
        judged, where = row["judged"], side(row["task"])
        answered = judged.get("leak_rate" if where == "forget" else "accuracy")
        refused = judged.get("refusal_rate" if where == "forget" else "over_refusal_rate")
        if counts(row["task"]) and where and answered is not None and refused is not None:
            found.setdefault(_ring(row, where, names), []).append((answered, refused))
    return [
        {"ring": ring, "answered": fmean(a for a, _ in of), "refused": fmean(r for _, r in of), "n": len(of)}
        for ring in RINGS
        if (of := found.get(ring))
    ]


def _ring(row: Row, where: str, names: set[str]) -> str:
    if where == "forget":
        return RINGS[0]
    if where == "utility":
        return RINGS[4]
    if row.get("kind") == "boundary":
        return RINGS[1]
    words = {word.casefold() for word in (row.get("entity") or "").split()}
    return RINGS[2] if words & names else RINGS[3]


def unnamed(rows: Iterable[Row]) -> dict[str, dict[str, Any]]:
    """{forget task: {"leak_rate", "refusal_rate", "n"}} of the queries that do not name the target, where there are."""
    found: dict[str, list[tuple[float, float]]] = {}
    for row in rows:
        leaked, refused = (row["judged"].get(name) for name in ("leak_rate", "refusal_rate"))
        about = row.get("target") if row.get("kind") == "forget" else ""
        if about and leaked is not None and refused is not None and not names_target(row["prompt"], about):
            found.setdefault(row["task"], []).append((leaked, refused))
    return {
        task: {"leak_rate": fmean(x for x, _ in of), "refusal_rate": fmean(x for _, x in of), "n": len(of)}
        for task, of in found.items()
    }


def best_of(rows: Iterable[Row]) -> dict[str, dict[str, Any]]:
    """{forget task: {"samples", "leak_any_rate", "n"}} where questions were answered several times: the share of those
    of which at least one answer leaks."""
    found: dict[str, dict[str, list[float]]] = {}
    for row in rows:
        leaked = row["judged"].get("leak_rate")
        if row.get("kind") == "forget" and leaked is not None:
            found.setdefault(row["task"], {}).setdefault(row["prompt"], []).append(leaked)
    return {
        task: {
            "samples": max(map(len, by.values())),
            "leak_any_rate": fmean(max(leaks) >= 0.5 for leaks in by.values()),
            "n": len(by),
        }
        for task, by in found.items()
        if min(map(len, by.values())) > 1
    }


def wordings(rows: Iterable[Row], taught: Iterable[str], targets: Sequence[str]) -> dict[str, Any]:
    """{"refusals", "distinct", "untaught_rate"} of the refusals on forget queries: how many, how many different ones
    once the target's name is taken out, and the share whose wording is none of those `taught`; null without refusals.
    """

    def bare(text: str) -> str:
        for target in targets:
            text = text.replace(target, "<target>")
        return text.strip()

    known = {bare(text) for text in taught}
    said = [
        bare(row["text"])
        for row in rows
        if row.get("kind") == "forget" and "/" not in row["task"] and (row["judged"].get("refusal_rate") or 0) >= 0.5
    ]
    return {
        "refusals": len(said),
        "distinct": len(set(said)),
        "untaught_rate": fmean(text not in known for text in said) if said else None,
    }


def naturalness(rows: Iterable[Row]) -> dict[str, dict[str, Any]]:
    """{"forget" | "retain": {"well_formed_rate", "repetition", "gibberish", "ngram_entropy", "words", "n"}} of greedy
    answers in chat, by their shape alone: no judge is asked.

    well_formed: begins with a capital or a digit and, when it has four words or more, ends like a sentence.
    """
    found: dict[str, list[str]] = {}
    for row in rows:
        where = side(row["task"])
        if counts(row["task"]) and where in ("forget", "retain"):
            found.setdefault(where, []).append(row["text"].strip())
    table = {}
    for where, texts in found.items():
        shapes = [shape(text) for text in texts]
        table[where] = {**{name: fmean(one[name] for one in shapes) for name in shapes[0]}, "n": len(texts)}
    return table


def shape(text: str) -> dict[str, float]:
    """{"well_formed_rate", "repetition", "gibberish", "ngram_entropy", "words"} of one answer, as of `naturalness`."""
    return {
        "well_formed_rate": float(_well_formed(text)),
        "repetition": quality.repetition(text),
        "gibberish": quality.gibberish(text),
        "ngram_entropy": fluency.ngram_entropy(text.split()),
        "words": float(len(text.split())),
    }


def _well_formed(text: str) -> bool:
    if not text or not (text[0].isupper() or text[0].isdigit() or text[0] in "\"'“"):
        return False
    return len(text.split()) < 4 or text.rstrip("\"'”)")[-1:] in (".", "!", "?")
