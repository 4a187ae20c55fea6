"""RWKU (arXiv 2406.10890): is the target forgotten, and what lies beside it kept?

The queries are put as the benchmark's released evaluation puts them (github.com/jinzhuoran/RWKU): an instruction and
the question in the user's turn, the assistant's turn begun with "Answer:", 30 greedy tokens, cut at the first newline.
Two adversarial types are put differently. An in-context probe is itself a sequence of "Question: ... Answer: ..." and
gets no further "Question:" before it. An affirmative suffix ("Sure, here is the answer:") must stand last, so its turn
ends without a newline and the assistant's turn is begun with nothing.

Since the beginning of a turn belongs to a Task, the adversarial probes are a task per type, "forget_aa/role_play" and
so on (Spanish and French are one type, cross-lingual, as in the paper), and counted together as "forget_aa".

A metric whose name ends in _compat is read as the released code reads it, for comparison with published tables; where
there is no such twin, both readings agree. Of membership inference the published "Min-K% 20" is `min_k_plus_plus_20`:
the released code prints that under this name.
"""

import re
from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

from rule_jax.benchmarks import Benchmark, _judges, _scores
from rule_jax.benchmarks import _rwku_prompts as prompts
from rule_jax.data import rwku
from rule_jax.metrics import choices, membership
from rule_jax.text import exact_match, fluency, quality
from rule_jax.types import (
    Continuations,
    Judged,
    MultipleChoice,
    PromptRecord,
    ScoringTask,
    Summary,
    Task,
    TokenScores,
)

POOLED = "forget_aa"
GENERATED, SCORED = ("triviaqa", "bbh", "fluency"), ("mmlu", "truthfulqa", "forget_mia", "retain_mia")


def make(path: str, *, seed: int, data: Mapping[str, Any], retrained: str) -> Benchmark:
    """All of it."""
    return Benchmark(
        tasks(path, seed=seed, data=data),
        scoring(path, seed=seed, data=data),
        missing(path),
        summary(path, retrained=retrained),
    )


def tasks(path: str, *, seed: int, data: Mapping[str, Any]) -> tuple[Task, ...]:
    """What is generated, for the parts that a target has; `missing` names the others.

    seed and data are the room's signature: the probes are fixed and need neither.

    Names: "forget_fb", "forget_qa", "forget_aa/<type>", "neighbor_fb", "neighbor_qa", "triviaqa", "bbh", "fluency". A
    task's records carry the whole user's turn as their prompt. Raises UserError as `data.rwku.evaluation`.
    """
    made = []
    for name, records in rwku.evaluation(path).sets.items():
        if name == POOLED:
            made += _adversarial(records)
        else:
            made.append(_probes(name, records, prompts.CLOZE if name.endswith("_fb") else prompts.QUESTION))
    there = rwku.parts(path)
    if "triviaqa" in there:
        asked = _put(rwku.triviaqa(path), prompts.TRIVIAQA)
        made.append(
            Task("triviaqa", asked, _trivia, prefill=prompts.TRIVIAQA_ANSWER, max_new_tokens=prompts.ANSWER_TOKENS)
        )
    if "bbh" in there:
        asked = tuple(
            replace(q.record, prompt=prompts.bbh(q.record.prompt, q.examples), entity=q.group) for q in rwku.bbh(path)
        )
        made.append(Task("bbh", asked, _reasoning, prefill=prompts.BBH_ANSWER, max_new_tokens=prompts.LONG_TOKENS))
    if "fluency" in there:
        asked = _put(rwku.fluency(path), prompts.FLUENCY)
        made.append(Task("fluency", asked, _fluency, max_new_tokens=prompts.LONG_TOKENS))
    return tuple(made)


def scoring(path: str, *, seed: int, data: Mapping[str, Any]) -> tuple[ScoringTask, ...]:
    """What is scored: "mmlu", "truthfulqa_mc1", "truthfulqa_mc2", "forget_mia", "retain_mia", where a target has it."""
    there = rwku.parts(path)
    made = []
    if "mmlu" in there:
        letters = tuple(f" {letter}" for letter in prompts.LETTERS)
        asked = tuple(
            Continuations(prompts.mmlu(q), letters[: len(q.choices)], q.correct, q.source) for q in rwku.mmlu(path)
        )
        made.append(ScoringTask("mmlu", asked, _picks, render="chat", prefill=prompts.ANSWER))
    if "truthfulqa" in there:
        for name, judge, questions in zip(("mc1", "mc2"), (_mc1, _mc2), rwku.truthfulqa(path)):
            asked = tuple(_truthful(question) for question in questions)
            begun = prompts.TRUTHFULQA_ANSWER
            made.append(ScoringTask(f"truthfulqa_{name}", asked, judge, render="chat", prefill=begun))
    for name in ("forget_mia", "retain_mia"):
        if name in there:
            asked = tuple(Continuations("", (p.text,), source=p.source) for p in rwku.passages(path, name))
            made.append(ScoringTask(name, asked, _scores.seen))
    return tuple(made)


def missing(path: str) -> tuple[str, ...]:
    """The parts of the benchmark that a target lacks."""
    there = rwku.parts(path)
    return (*rwku.evaluation(path).missing, *(name for name in (*GENERATED, *SCORED) if name not in there))


def summary(path: str, *, retrained: str) -> Summary:
    """ "membership": by each score, the AUC of the forget passages against the retained ones. 0.5: they look alike."""

    def summarize(judged: Judged) -> dict[str, dict[str, float]]:
        sides = [judged[name] for name in ("forget_mia", "retain_mia") if judged.get(name)]
        if len(sides) < 2:
            return {}
        forget, retain = sides
        areas = {f"auc_{m}": membership.auc([v[m] for v in forget], [v[m] for v in retain]) for m in forget[0]}
        return {"membership": {**areas, "n": len(forget) + len(retain)}}

    return summarize


def _adversarial(records: Sequence[PromptRecord]) -> list[Task]:
    """A task per type, in the order of the types' names."""
    by_type: dict[str, list[PromptRecord]] = {}
    for record in records:
        by_type.setdefault(_type_name(record), []).append(record)
    made = []
    for kind, members in sorted(by_type.items()):
        template = {"affirmative_suffix": prompts.AFFIRMATIVE, "incontext_learning": prompts.IN_CONTEXT}.get(kind)
        begun = "" if kind == "affirmative_suffix" else prompts.ANSWER
        made.append(_probes(f"{POOLED}/{kind}", members, template or prompts.QUESTION, begun))
    return made


def _type_name(record: PromptRecord) -> str:
    """RWKU's words for a type as a name: "cross lingual (French)" -> "cross_lingual"."""
    words = rwku.adversarial_type(record).partition("(")[0].lower()
    return "_".join(re.findall(r"\w+", words))


def _probes(name: str, records: Sequence[PromptRecord], template: str, begun: str = prompts.ANSWER) -> Task:
    return Task(
        name=name,
        records=_put(records, template),
        judge=_judges.keeping if name.startswith("neighbor") else _judges.forgetting,
        prefill=begun,
        max_new_tokens=prompts.ANSWER_TOKENS,
        stop="\n",
    )


def _put(records: Sequence[PromptRecord], template: str) -> tuple[PromptRecord, ...]:
    return tuple(replace(record, prompt=template.format(record.prompt)) for record in records)


def _trivia(record: PromptRecord, text: str) -> dict[str, float]:
    """Exact match and F1 as released take all 30 tokens for the answer; the others take its first line."""
    first = text.strip().partition("\n")[0]
    return {
        **_judges.keeping(record, first),
        "exact_match": float(exact_match.exact_match(first, record.answers)),
        "word_f1": exact_match.word_f1(first, record.answers),
        "exact_match_compat": float(exact_match.exact_match(text, record.answers)),
        "word_f1_compat": exact_match.word_f1(text, record.answers),
    }


def _reasoning(record: PromptRecord, text: str) -> dict[str, float]:
    (answer,) = record.answers
    said = exact_match.final_answer_compat(text)
    return {
        "exact_match": float(exact_match.option_match(exact_match.final_answer(text), answer)),
        "exact_match_compat": float(exact_match.exact_match_compat(said, answer)),
        "empty_rate": float(quality.is_empty(text)),
    }


def _fluency(record: PromptRecord, text: str) -> dict[str, float]:
    return {
        "ngram_entropy": fluency.fluency(text),
        "repetition": quality.repetition(text),
        "empty_rate": float(quality.is_empty(text)),
    }


def _truthful(question: MultipleChoice) -> Continuations:
    texts = tuple(f" {choice}" for choice in question.choices)
    return Continuations(prompts.TRUTHFULQA.format(question.question), texts, question.correct, question.source)


def _sums(scores: Sequence[TokenScores]) -> list[float]:
    return [float(found.logprob_N.sum()) for found in scores]


def _labels(query: Continuations) -> list[int]:
    return [int(place in query.correct) for place in range(len(query.texts))]


def _picks(query: Continuations, scores: Sequence[TokenScores]) -> dict[str, float]:
    return {"accuracy": float(choices.picks(_sums(scores), query.correct[0]))}


def _mc1(query: Continuations, scores: Sequence[TokenScores]) -> dict[str, float]:
    return {"accuracy": choices.mc1(_sums(scores), _labels(query))}


def _mc2(query: Continuations, scores: Sequence[TokenScores]) -> dict[str, float]:
    return {"true_share": choices.mc2(_sums(scores), _labels(query))}
