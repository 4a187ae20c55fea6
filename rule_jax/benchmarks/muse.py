"""MUSE (arXiv 2407.06460): is a corpus forgotten word for word, as knowledge, and beyond detection?

As the released evaluation has it (github.com/jaechan-repo/muse_bench): everything is raw text without a chat template.
VerbMem continues the opening of a passage by 128 greedy tokens, KnowMem answers a question behind solved ones in 32;
both are scored by ROUGE-L F1, unstemmed, VerbMem against the first 128 tokens of the true continuation. UtilPres is
KnowMem on the retained side. PrivLeak compares the Min-40% of forgotten and held-out passages by their AUC, relative to
that of a model that never saw the forgotten ones.
"""

from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from rule_jax.benchmarks import Benchmark, _judges, _scores
from rule_jax.data import muse
from rule_jax.errors import UserError
from rule_jax.metrics import membership
from rule_jax.reporting import recorded
from rule_jax.text.overlap import rouge_l
from rule_jax.types import Continuations, Judged, PromptRecord, ScoringTask, Summary, Task

VERBMEM_TOKENS, KNOWMEM_TOKENS = 128, 32
ENDS = ("\n\n", "\nQuestion", "Question:")  # an answer to a question ends before the first of these
# AUC of Min-40% of the benchmark's own retrained models, held-out against forgotten passages.
AUC_RETRAINED = {"books": 0.5392999999999999, "news": 0.47719999999999996}


def make(path: str, *, seed: int, data: Mapping[str, Any], retrained: str) -> Benchmark:
    """All of it."""
    return Benchmark(
        tasks(path, seed=seed, data=data),
        scoring(path, seed=seed, data=data),
        missing(path),
        summary(path, retrained=retrained),
    )


def tasks(path: str, *, seed: int, data: Mapping[str, Any]) -> tuple[Task, ...]:
    """ "knowmem_forget", "knowmem_retain" and "verbmem_forget", for the parts that there are.

    seed is the room's signature. data: the section "muse" of the config, for the name of what is forgotten.
    """
    made = []
    for side in muse.KNOWMEM:
        if muse.has(path, f"knowmem_{side}"):
            questions, shots = muse.knowmem(path, side, target=data["target"])
            judge = _knows if side == "forget" else _keeps
            asked = tuple(_after(shots, question) for question in questions)
            made.append(Task(f"knowmem_{side}", asked, judge, render="raw", max_new_tokens=KNOWMEM_TOKENS))
    if muse.has(path, "verbmem"):
        records = muse.verbmem(path, target=data["target"])
        made.append(
            Task(
                "verbmem_forget",
                records,
                _continues,
                render="raw",
                max_new_tokens=VERBMEM_TOKENS,
                cut_references=True,
            )
        )
    if not made:
        raise UserError(f"{path} has none of MUSE's parts: {', '.join(missing(path))}. Name the corpus' folder.")
    return tuple(made)


def scoring(path: str, *, seed: int, data: Mapping[str, Any]) -> tuple[ScoringTask, ...]:
    """ "privleak_forget", "privleak_retain", "privleak_holdout" and "verbmem_tokens", for the parts that there are."""
    made = []
    for side in muse.PRIVLEAK:
        if muse.has(path, f"privleak_{side}"):
            asked = tuple(Continuations("", (p.text,), source=p.source) for p in muse.privleak(path, side))
            made.append(ScoringTask(f"privleak_{side}", asked, _scores.seen))
    if muse.has(path, "verbmem"):
        asked = tuple(Continuations(r.prompt, r.answers, source=r.source) for r in muse.verbmem(path))
        made.append(ScoringTask("verbmem_tokens", asked, _scores.remembered))
    return tuple(made)


def missing(path: str) -> tuple[str, ...]:
    """The parts of the benchmark that a corpus lacks."""
    return tuple(part for part in muse.PARTS if not muse.has(path, part))


def summary(path: str, *, retrained: str) -> Summary:
    """ "privleak": the AUC of Min-40%, held-out against forgotten passages, and PrivLeak.

    retrained: evaluate/<model> of a run on the same corpus whose model never saw what is to be forgotten; "" takes the
    benchmark's own for Books and News, told by the path.
    """
    reference = _retrained(path, retrained)

    def summarize(judged: Judged) -> dict[str, dict[str, float | str]]:
        sides = [judged[name] for name in ("privleak_holdout", "privleak_forget") if judged.get(name)]
        if len(sides) < 2:
            return {}
        area = membership.auc(*([values["min_k_40"] for values in side] for side in sides))
        unknown = "no AUC of a retrained model is known for this corpus: set config.evaluate.retrained"
        leak = membership.privleak(area, reference) if reference else unknown
        return {"privleak": {"auc_min_k_40": area, "privleak": leak, "n": sum(map(len, sides))}}

    return summarize


def _retrained(path: str, folder: str) -> float:
    if not folder:
        return next((area for name, area in AUC_RETRAINED.items() if name in path.lower()), 0.0)
    table = recorded.figures(Path(folder, "metrics.json")) if Path(folder, "metrics.json").exists() else {}
    area = table.get("privleak", {}).get("auc_min_k_40")
    if not area:
        raise UserError(f"config.evaluate.retrained={folder!r}: there is no metrics.json with a privleak.auc_min_k_40")
    return float(area)


def _after(shots: Sequence[PromptRecord], question: PromptRecord) -> PromptRecord:
    solved = "".join(f"Question: {shot.prompt}\nAnswer: {shot.answers[0]}\n\n" for shot in shots)
    return replace(question, prompt=f"{solved}Question: {question.prompt}\nAnswer: ")


def _answer(text: str) -> str:
    for end in ENDS:
        text = text.partition(end)[0]
    return text.strip()


def _f1(record: PromptRecord, text: str) -> dict[str, float]:
    return {"rouge_l_f1": max(rouge_l(text, reference).f1 for reference in record.answers)}


def _knows(record: PromptRecord, text: str) -> dict[str, float]:
    return {**_judges.forgetting(record, _answer(text)), **_f1(record, _answer(text))}


def _keeps(record: PromptRecord, text: str) -> dict[str, float]:
    return {**_judges.keeping(record, _answer(text)), **_f1(record, _answer(text))}


def _continues(record: PromptRecord, text: str) -> dict[str, float]:
    return {**_judges.forgetting(record, text), **_f1(record, text)}
