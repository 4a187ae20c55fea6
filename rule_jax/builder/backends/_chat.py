"""The backend that any chat model makes, whatever way it is asked: the requests, and what counts as an answer."""

import re
from collections.abc import Callable, Iterable, Iterator, Sequence
from typing import Any

from rule_jax.builder import Backend, Item, Opinion, Target, Unusable
from rule_jax.builder.wording import Wording
from rule_jax.llm.client import Request, SetAside, json_object
from rule_jax.text.names import names_target
from rule_jax.text.overlap import normalize
from rule_jax.types import PromptRecord

# ask(requests, parse, what for) -> parse(reply) of each, or why there is none, in order and as they come
Ask = Callable[[Sequence[Request], Callable[[str], Any], str], Iterable[Any]]

BLANK = "___"
_BLANKS = re.compile(r"_{2,}|\[blank\]|\.{4,}", re.IGNORECASE)
_LONGEST = {"question": 400, "cloze": 400, "answer": 120, "name": 80}  # characters
_AVOIDED = 30  # questions that a request for more is shown


def make(
    ask: Ask,
    wording: Wording,
    *,
    relations: int,
    items: int,
    rounds: int,
    temperature: float,
    max_tokens: int,
    spent: Callable[[], dict[str, float]],
) -> Backend:
    """relations: how many kinds of facts are asked about. items: facts asked for in one request. rounds: how often each
    relation is asked for more. temperature: for facts; all else is greedy. max_tokens: the longest list of facts or
    names; a reply about one query is at most a quarter of that."""

    def request(name: str, **values: object) -> Request:
        longest = max_tokens // 4 if name in ("rewrite", "opinion") else max_tokens
        return Request.of(wording.fill("system"), wording.fill(name, **values), max_tokens=longest)

    def facts(target: Target, count: int) -> Iterator[list[Item | Unusable]]:
        about: dict[str, object] = {"target": target.name, "intro": target.intro}
        (kinds,) = ask([request("relations", count=relations, **about)], _names_under("relations"), "relations")
        if isinstance(kinds, SetAside):
            yield [_unusable(kinds)]
            return
        kinds = kinds[:relations]
        found: dict[str, Item] = {}
        for turn in range(rounds):
            before = len(found)
            asked = []
            for kind in kinds:
                known = [item.question for item in found.values() if item.relation == kind][-_AVOIDED:]
                values = {"relation": kind, "count": items, "avoid": known, **about}
                asked.append(request("queries", **values)._replace(temperature=temperature, seed=turn))
            for reply, kind in zip(ask(asked, _items, f"queries, round {turn + 1}"), kinds):
                given = [_unusable(reply)] if isinstance(reply, SetAside) else [_item(values, kind) for values in reply]
                fresh = [item for item in given if isinstance(item, Unusable) or normalize(item.question) not in found]
                found |= {normalize(item.question): item for item in fresh if isinstance(item, Item)}
                yield fresh
            if len(found) >= count or len(found) == before:
                break

    def neighbours(target: Target, count: int) -> list[str]:
        asked = request("neighbours", target=target.name, intro=target.intro, count=count)
        (names,) = ask([asked], _names_under("neighbours"), "neighbours")
        return [] if isinstance(names, SetAside) else names[:count]

    def rewrite(target: Target, pairs: Sequence[tuple[Item, str]]) -> Iterator[Item | Unusable]:
        asked = [
            request(
                "rewrite",
                target=target.name,
                neighbour=name,
                relation=item.relation,
                question=item.question,
                cloze=item.cloze,
                answer=item.answer,
            )
            for item, name in pairs
        ]
        for reply, (item, name) in zip(ask(asked, _rewritten, "boundary queries"), pairs):
            yield _about(reply, item, name, target)

    def opinions(records: Sequence[PromptRecord]) -> list[Opinion]:
        asked = [request("opinion", query=r.prompt, answer=r.answers[0] if r.answers else "") for r in records]
        replies = ask(asked, _opinion, "second opinions")
        return [Opinion(True, "none was given") if isinstance(r, SetAside) else r for r in replies]

    def unfit(target: Target, names: Sequence[str]) -> list[str]:
        asked = request("unfit", target=target.name, intro=target.intro, names=list(names))
        (reasons,) = ask([asked], _reasons, "second opinion on neighbours")
        if isinstance(reasons, SetAside):
            return [""] * len(names)
        return [reasons.get(normalize(name), "") for name in names]

    return Backend(facts, neighbours, rewrite, opinions, unfit, spent)


def _unusable(reply: SetAside) -> Unusable:
    return Unusable(reply.request.messages[-1][1], f"{reply.reason}; the last reply was {reply.reply[:200]!r}")


# What counts as an answer: each parser raises ValueError with a reason that the model is shown.


def _items(text: str) -> list[Any]:
    given = json_object(text).get("items")
    if not isinstance(given, list):
        raise ValueError('"items" must be a list of objects')
    whole = [_item(values, "") for values in given]
    if given and all(isinstance(item, Unusable) for item in whole):
        raise ValueError(whole[0].reason)  # type: ignore[union-attr]
    return given


def _rewritten(text: str) -> Any:
    given = json_object(text)
    if isinstance(given.get("impossible"), str):
        return given
    item = _item(given, "")
    if isinstance(item, Unusable):
        raise ValueError(item.reason)
    return given


def _opinion(text: str) -> Opinion:
    given = json_object(text)
    premise, answer = given.get("premise"), given.get("answer")
    if not isinstance(premise, bool) or not isinstance(answer, bool):
        raise ValueError('"premise" and "answer" must be true or false')
    reason = _line(given.get("reason"), 200) or "no reason given"
    wrong = "" if premise and answer else "the premise is false" if not premise else "the reference answer is wrong"
    return Opinion(premise and answer, f"{wrong} ({reason})" if wrong else "")


def _reasons(text: str) -> dict[str, str]:
    given = json_object(text).get("unfit")
    if not isinstance(given, dict):
        raise ValueError('"unfit" must be an object from names to reasons')
    return {normalize(name): _line(why, 200) or "unfit" for name, why in given.items()}


def _names_under(key: str) -> Callable[[str], list[str]]:
    def parse(text: str) -> list[str]:
        given = json_object(text).get(key)
        names = [_line(name, _LONGEST["name"]) for name in given] if isinstance(given, list) else []
        if not any(names):
            raise ValueError(f'"{key}" must be a list of names of at most {_LONGEST["name"]} characters')
        return list(dict.fromkeys(name for name in names if name))

    return parse


def _item(given: Any, relation: str) -> Item | Unusable:
    """An item of three single lines with one blank, or what it lacks."""
    if not isinstance(given, dict):
        return Unusable(str(given)[:200], "an item must be an object")
    lines = {name: _line(given.get(name), _LONGEST[name]) for name in ("question", "cloze", "answer")}
    empty = [name for name, line in lines.items() if not line]
    asked = lines["question"] or str(given)[:200]
    if empty:
        return Unusable(asked, f'"{empty[0]}" must be one line of 1 to {_LONGEST[empty[0]]} characters')
    cloze = _BLANKS.sub(BLANK, lines["cloze"])
    if cloze.count(BLANK) != 1:
        return Unusable(asked, f'"cloze" must hold {BLANK} once')
    return Item(relation, lines["question"], cloze, lines["answer"], indirect=given.get("indirect") is True)


def _about(reply: Any, item: Item, name: str, target: Target) -> Item | Unusable:
    """The rewritten item, if it is about the neighbour and not about the target."""
    if isinstance(reply, SetAside):
        return _unusable(reply)
    if "impossible" in reply:
        return Unusable(item.question, f"{name}: no such fact: {_line(reply['impossible'], 200)}")
    made = _item(reply, item.relation)
    if isinstance(made, Unusable):
        return made
    for text in (made.question, made.cloze):
        if names_target(f"{text} {made.answer}", target.name, target.aliases):
            return Unusable(made.question, f"it still names {target.name}")
        if not names_target(text, name):
            return Unusable(made.question, f"it does not name {name}")
    return made


def _line(value: Any, longest: int) -> str:
    """A string as one line without outer blanks; "" for anything else and for one that is too long."""
    if not isinstance(value, str):
        return ""
    line = " ".join(value.split())
    return line if len(line) <= longest else ""
