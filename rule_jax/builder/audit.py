"""What is wrong with a forget and boundary set, row by row; and the set without it.

`audit` works on the records of any source. Most checks are rules over texts; two rest on a second opinion that a
backend gives (false premises, entities unfit as neighbours) and find nothing where none was asked for.
"""

import re
from collections import Counter, defaultdict
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Literal

from rule_jax.builder import Opinion
from rule_jax.errors import UserError, nearest
from rule_jax.text.correction import correction
from rule_jax.text.english import is_english
from rule_jax.text.names import names_target
from rule_jax.text.overlap import normalize
from rule_jax.text.refusal import is_refusal
from rule_jax.text.similarity import earlier_twins
from rule_jax.types import PromptRecord, UnlearningData

Part = Literal["forget", "boundary", "rejection"]

# Marks in the source of a record.
INDIRECT = "#indirect"  # a forget query that is meant not to name its target; at the end
WORDED = "#worded"  # one of several wordings that templates give to a fact on purpose
ACTIONS = ("drop", "report", "refuse")

_BLANK = re.compile(r"_{2,}")
_MARKUP = re.compile(
    r"<\|[^<>|]{1,40}\|>|\[/?INST\]|<</?SYS>>|</?s>|<(?:start|end)_of_turn>|<think>|[\x00-\x08\x0b-\x1f\x7f]"
)
_CUT = re.compile(
    r"(?:[,(]|\b(?:a|an|and|as|at|between|but|by|for|from|her|his|in|its|of|on|or|that|the|their|to|which|with))\s*$",
    re.IGNORECASE,
)
_BRACKETED = re.compile(r"\s*\([^()]*\)")


@dataclass(frozen=True, slots=True)
class Finding:
    """A row at fault: by which check, in which part, which row of it (from 0), and why.

    answers: where only some references of a boundary row are at fault, those; () blames the row.
    """

    check: str
    part: Part
    row: int
    reason: str
    answers: tuple[str, ...] = ()


@dataclass(frozen=True)
class Case:
    """What is audited, and what the checks go by.

    aliases: other names of the targets. others: names of what else is to be forgotten. probes: a benchmark's records,
    which no training row should repeat. reserved: the neighbours that a benchmark measures, about which no row should
    be.
    opinions: a second opinion on each boundary row. unfit: entity -> why it is no neighbour to train on.
    max_answer_share: of one answer among the boundary rows. similarity: at which two prompts are near duplicates.
    language: "en", or "" for any. prompt_words, answer_words: the fewest and the most.
    """

    data: UnlearningData
    aliases: Sequence[str] = ()
    others: Sequence[str] = ()
    probes: Sequence[PromptRecord] = ()
    reserved: frozenset[str] = frozenset()
    opinions: Sequence[Opinion] = ()
    unfit: Mapping[str, str] = field(default_factory=dict)
    max_answer_share: float = 0.05
    similarity: float = 0.5
    language: str = "en"
    prompt_words: tuple[int, int] = (3, 80)
    answer_words: tuple[int, int] = (1, 60)

    def names(self, text: str) -> str:
        """The first target that the text names, by name or alias; "" for none."""
        return next((target for target in self.data.targets if names_target(text, target, self.aliases)), "")

    def forbidden(self, text: str) -> str:
        """The same for all that is to be forgotten, here or elsewhere."""
        return self.names(text) or next((name for name in self.others if names_target(text, name)), "")

    def place(self, part: Part, row: int) -> str:
        """Where a row is from, in words."""
        return getattr(self.data, part)[row].source or f"{part} row {row + 1}"

    def prompts(self) -> Iterator[tuple[Part, int, str]]:
        for part in ("forget", "boundary", "rejection"):
            for row, record in enumerate(getattr(self.data, part)):
                yield part, row, record.prompt


def audit(case: Case) -> list[Finding]:
    """All findings, in the order of CHECKS. A row may be found by several checks."""
    if not 0 < case.max_answer_share <= 1 or not 0 < case.similarity <= 1:
        raise UserError("config.audit: max_answer_share and similarity are shares in (0, 1]")
    if case.language not in ("", "en"):
        raise UserError(f"config.audit.language={case.language!r}: only 'en' can be told; '' lets all languages pass")
    return [
        Finding(name, part, row, reason, answers)
        for name, check in CHECKS.items()
        for part, row, reason, answers in check(case)
    ]


def mend(case: Case, findings: Sequence[Finding], actions: Mapping[str, str]) -> UnlearningData:
    """The data as `repair` leaves it, audited and repaired until nothing is left to drop: as rows go, an answer's share
    grows. findings: those of the case."""
    while True:
        data = repair(case.data, findings, actions)
        if data == case.data:
            return data
        case = replace(case, data=data, opinions=())  # the rows that an opinion was against are gone
        findings = audit(case)


def repair(data: UnlearningData, findings: Sequence[Finding], actions: Mapping[str, str]) -> UnlearningData:
    """The data without the rows and answers whose check has the action "drop"; "report" leaves them.

    Raises UserError, with the counts, when a check whose action is "refuse" has found anything.
    """
    check_actions(actions)
    refused = Counter(finding.check for finding in findings if actions[finding.check] == "refuse")
    if refused:
        told = ", ".join(f"{name} {count}" for name, count in refused.items())
        raise UserError(f"the audit refuses the set ({told}); mend the rows, or set config.audit.actions to drop them")
    rows: dict[str, set[int]] = defaultdict(set)
    blamed: dict[int, set[str]] = defaultdict(set)
    for finding in findings:
        if actions[finding.check] == "drop" and finding.answers:
            blamed[finding.row] |= set(finding.answers)
        elif actions[finding.check] == "drop":
            rows[finding.part].add(finding.row)
    boundary = []
    for row, record in enumerate(data.boundary):
        answers = tuple(answer for answer in record.answers if answer not in blamed[row])
        if row not in rows["boundary"] and answers:
            boundary.append(replace(record, answers=answers))
    return replace(
        data,
        rejection=tuple(r for row, r in enumerate(data.rejection) if row not in rows["rejection"]),
        forget=tuple(r for row, r in enumerate(data.forget) if row not in rows["forget"]),
        boundary=tuple(boundary),
    )


def fitting(actions: Mapping[str, str], data: UnlearningData) -> dict[str, str]:
    """The actions for this data. No row is dropped for not naming a corpus: its people and places are named instead."""
    return {**actions, **({"unnamed_target": "report"} if data.corpus and actions["unnamed_target"] == "drop" else {})}


def check_actions(actions: Mapping[str, str]) -> None:
    """Raises UserError unless every check has an action."""
    for name in actions:
        if name not in CHECKS:
            raise UserError(f"config.audit.actions has {name!r}; checks are {', '.join(CHECKS)}{nearest(name, CHECKS)}")
    for name in CHECKS:
        if actions.get(name) not in ACTIONS:
            raise UserError(f"config.audit.actions.{name}={actions.get(name)!r}: it must be {', '.join(ACTIONS)}")


# The checks. Each yields (part, row, reason, answers at fault).

_Found = Iterator[tuple[Part, int, str, tuple[str, ...]]]


def _refusal_answer(case: Case) -> _Found:
    for row, record in enumerate(case.data.boundary):
        bad = tuple(answer for answer in record.answers if is_refusal(answer))
        if bad:
            yield "boundary", row, f"the reference answer {bad[0]!r} is a refusal", bad


def _correcting_answer(case: Case) -> _Found:
    for row, record in enumerate(case.data.boundary):
        how = {answer: correction(answer, record.prompt) for answer in record.answers}
        bad = tuple(answer for answer, reason in how.items() if reason)
        if bad:
            yield "boundary", row, f"the reference answer corrects the question: {how[bad[0]]}", bad


def _dominant_answer(case: Case) -> _Found:
    counts: Counter[str] = Counter()
    total = len(case.data.boundary)
    allowed = max(2, int(case.max_answer_share * total))
    firsts = [normalize(record.answers[0]) if record.answers else "" for record in case.data.boundary]
    sums = Counter(firsts)
    for row, answer in enumerate(firsts):
        counts[answer] += 1
        if answer and counts[answer] > allowed:
            said = case.data.boundary[row].answers[0]
            yield "boundary", row, f"{said!r} answers {sums[answer]} of {total} rows; {allowed} are allowed", ()


def _duplicate(case: Case) -> _Found:
    seen: dict[tuple[Part, str], int] = {}
    for part, row, prompt in case.prompts():
        first = seen.setdefault((part, normalize(prompt)), row)
        if first != row:
            yield part, row, f"the prompt of {case.place(part, first)} again", ()


def _near_duplicate(case: Case) -> _Found:
    """Question and fill-in-the-blank of one fact are a pair, not twins: each form is compared with its own."""
    for part in ("forget", "boundary"):
        records: Sequence[PromptRecord] = getattr(case.data, part)
        for blank in (False, True):
            rows = [
                row
                for row, record in enumerate(records)
                if (_BLANK.search(record.prompt) is not None) == blank and WORDED not in record.source
            ]
            prompts = [records[row].prompt for row in rows]
            answers = [next(iter(records[row].answers), "") for row in rows]
            twins = earlier_twins(prompts, answers, case.similarity, subjects=[records[row].entity for row in rows])
            for row, twin in zip(rows, twins):
                if twin is not None and normalize(prompts[twin]) != normalize(records[row].prompt):
                    yield part, row, f"nearly that of {case.place(part, rows[twin])}: {prompts[twin]!r}", ()


def _contradiction(case: Case) -> _Found:
    forbidden = {normalize(record.prompt) for record in case.data.forget}
    for row, record in enumerate(case.data.boundary):
        if normalize(record.prompt) in forbidden:
            yield "boundary", row, "the same prompt is to be refused, on the forget side", ()


def _false_premise(case: Case) -> _Found:
    for row, opinion in enumerate(case.opinions):
        if not opinion.sound:
            yield "boundary", row, f"second opinion: {opinion.reason}", ()


def _names_target(case: Case) -> _Found:
    for row, record in enumerate(case.data.boundary):
        named = case.forbidden(record.prompt) or case.forbidden(record.entity)
        if named:
            yield "boundary", row, f"it names {named}, which is to be forgotten", ()


def _target_as_answer(case: Case) -> _Found:
    for row, record in enumerate(case.data.boundary):
        bad = tuple(answer for answer in record.answers if case.forbidden(answer))
        if bad:
            yield "boundary", row, f"the reference answer {bad[0]!r} names what is to be forgotten", bad


def _unfit_entity(case: Case) -> _Found:
    for row, record in enumerate(case.data.boundary):
        if case.unfit.get(record.entity):
            yield "boundary", row, f"{record.entity}: {case.unfit[record.entity]}", ()


def _benchmark_entity(case: Case) -> _Found:
    keys = {normalize(_BRACKETED.sub("", name)): name for name in sorted(case.reserved)}
    keys = {key: name for key, name in keys.items() if len(key) > 3}  # "It" is in every other question
    for row, record in enumerate(case.data.boundary):
        held = f" {normalize(record.prompt)} {normalize(record.entity)} "
        hit = next((name for key, name in keys.items() if f" {key} " in held), "")
        if hit:
            yield "boundary", row, f"the benchmark measures its neighbour {hit!r}", ()


def _benchmark_probe(case: Case) -> _Found:
    probes = [f" {normalize(record.prompt)} " for record in case.probes]
    for part, row, prompt in case.prompts():
        key = normalize(prompt)
        if len(key.split()) > 3 and any(f" {key} " in probe for probe in probes):
            yield part, row, "it is a probe of the benchmark", ()


def _unnamed_target(case: Case) -> _Found:
    for row, record in enumerate(case.data.forget):
        if not record.source.endswith(INDIRECT) and not names_target(record.prompt, record.target, case.aliases):
            yield "forget", row, f"it never names {record.target}", ()


def _language(case: Case) -> _Found:
    for part, row, prompt in case.prompts() if case.language else ():
        if not is_english(prompt):
            yield part, row, "it does not look English", ()


def _length(case: Case) -> _Found:
    least, most = case.prompt_words
    for part, row, prompt in case.prompts():
        if not least <= len(prompt.split()) <= most:
            yield part, row, f"the prompt has {len(prompt.split())} words; {least} to {most} are allowed", ()
    least, most = case.answer_words
    for row, record in enumerate(case.data.boundary):
        bad = tuple(answer for answer in record.answers if not least <= len(answer.split()) <= most)
        if bad:
            yield "boundary", row, f"an answer has {len(bad[0].split())} words; {least} to {most} are allowed", bad


def _cut_prompt(case: Case) -> _Found:
    for part, row, prompt in case.prompts():
        if _CUT.search(prompt):
            yield part, row, f"the prompt ends in the middle of a sentence: {prompt.strip()[-30:]!r}", ()


def _markup(case: Case) -> _Found:
    for part, row, prompt in case.prompts():
        record = getattr(case.data, part)[row]
        others = (record.response,) if part == "rejection" else record.answers
        found = next((m.group() for text in (prompt, *others) if (m := _MARKUP.search(text))), None)
        if found is not None:
            yield part, row, f"{found!r} is markup of chats, or a control character", ()


def _no_refusal(case: Case) -> _Found:
    for row, example in enumerate(case.data.rejection):
        if not is_refusal(example.response):
            yield "rejection", row, f"{example.response!r} is no refusal to the detector", ()


def _unnamed_refusal(case: Case) -> _Found:
    for row, example in enumerate(case.data.rejection):
        if not case.names(example.response):
            yield "rejection", row, f"{example.response!r} names no target", ()


CHECKS: dict[str, Callable[[Case], _Found]] = {
    "refusal_answer": _refusal_answer,
    "correcting_answer": _correcting_answer,
    "dominant_answer": _dominant_answer,
    "duplicate": _duplicate,
    "near_duplicate": _near_duplicate,
    "contradiction": _contradiction,
    "false_premise": _false_premise,
    "names_target": _names_target,
    "target_as_answer": _target_as_answer,
    "unfit_entity": _unfit_entity,
    "benchmark_entity": _benchmark_entity,
    "benchmark_probe": _benchmark_probe,
    "unnamed_target": _unnamed_target,
    "language": _language,
    "length": _length,
    "cut_prompt": _cut_prompt,
    "markup": _markup,
    "no_refusal": _no_refusal,
    "unnamed_refusal": _unnamed_refusal,
}
