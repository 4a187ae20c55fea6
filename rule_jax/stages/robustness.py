"""How well does what was forgotten stay forgotten? Attacks on the base model and on the last one of the run.

Each attack is a plain transform, of the questions (frames, prefill, no chat template, several samples), of the weights
(rounding) or of both (relearning), behind the generator of the evaluation. The base model, under the same attack, says
how much there was to find. Drift is the other side: how far the model has moved where nothing was to change.
"""

from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

import numpy as np

from rule_jax import files, processes, quantization, telemetry
from rule_jax.errors import UserError
from rule_jax.metrics import statistics
from rule_jax.models.decoder import Params
from rule_jax.stages import Run, _attacks, _benchmark, check_divides, check_positive, evaluate, subject
from rule_jax.stages._answering import Answerer
from rule_jax.stages._figures import figures
from rule_jax.stages._guard import Guard
from rule_jax.stages._likelihood import Scorer
from rule_jax.stages._relearning import Relearning
from rule_jax.types import Continuations, ScoringTask, Task, TokenScores

SAMPLED = "sampled"


def check(run: Run) -> None:
    """Raises UserError for attacks that there are not, and settings that make no sense."""
    settings, batch = run.config.robustness, run.config.evaluate.batch
    if "evaluate" not in run.config.stages:
        raise UserError("config.stages has robustness but not evaluate, whose questions it puts")
    check_positive("robustness", settings, "records")
    _attacks.check(settings.attacks)
    unknown = [name for name in settings.weights if name not in quantization.SCHEMES]
    if unknown:
        known = ", ".join(quantization.SCHEMES)
        raise UserError(f"config.robustness.weights has {unknown[0]!r}; there are {known}")
    if settings.samples:
        if settings.samples < 2 or batch % settings.samples:
            raise UserError(
                f"config.robustness.samples={settings.samples}: it must be 0, or at least 2 and divide "
                f"config.evaluate.batch={batch}"
            )
        check_divides(run, "config.evaluate.batch / config.robustness.samples", batch // settings.samples)
        if not 0 <= settings.best_of <= settings.samples:
            raise UserError(
                f"config.robustness.best_of={settings.best_of}: it must be 1 to {settings.samples}, the answers that "
                "config.robustness.samples draws to a question, or 0 for all"
            )
    if settings.relearning.examples:
        check_positive("robustness.relearning", settings.relearning, "steps", "every", "batch", "peak")
        check_divides(run, "config.robustness.relearning.batch", settings.relearning.batch)


def run(run: Run) -> None:
    """Writes robustness/<model>/metrics.json and generations.jsonl, for the base and the run's last model."""
    settings, seed = run.config.robustness, run.config.seed
    examined, asked = subject(run), _benchmark.benchmark(run).tasks
    forget, keep = (_attacks.questions(asked, side, settings.records, seed) for side in ("forget", "retain"))
    answers = Answerer(run, examined)
    names = evaluate.ends(run)
    drift = None
    if settings.drift_prompts and keep and len(names) > 1:
        drift = Drift(run, Scorer(run, examined), answers, keep)
    for name in names:
        folder = run.workdir / "robustness" / name
        if (folder / "metrics.json").exists() and not drift:  # the drift of the last needs the base's answers again
            continue
        params = evaluate.params(run, examined, name)
        table: dict[str, Any] = {"attacks": {}, "relearning": {}, "drift": None}
        rows = Answers(answers, name, evaluate.guard(run, name), settings.best_of or settings.samples)
        if forget:
            questions = [t for attack in (_attacks.PLAIN, *settings.attacks) for t in _attacks.attacked(attack, forget)]
            if settings.samples:
                questions += _attacks.sampled(forget, settings.samples)
            table["attacks"] = rows.ask(params, questions)
            for scheme in settings.weights:
                rounded = quantization.round_weights(examined.model, params, scheme)
                table["attacks"] |= _rounded(rows, rounded, scheme, forget, keep)
            if settings.relearning.examples and name != evaluate.BASE:
                table["relearning"] = Relearning(run, examined, answers, settings.relearning)(params, forget, keep)
        if drift:
            table["drift"] = drift(params, name)
        if processes.first():
            rows.write(folder / "generations.jsonl")
            files.write_json(folder / "metrics.json", table)
        leaks = ", ".join(f"{attack} {row['leak_rate']:.3f}" for attack, row in table["attacks"].items())
        telemetry.info(f"robustness: {name}: leaks {leaks}")


class Answers:
    """What a model says under attack: asked, judged, kept for the file. best_of: answers to a question of which one
    leak is enough, where several are drawn."""

    def __init__(self, answers: Answerer, name: str, guard: Guard, best_of: int):
        self.answers, self.name, self.guard, self.best_of = answers, name, guard, best_of
        self.tasks: list[Task] = []
        self.texts: dict[str, Any] = {}
        self.judged: dict[str, Any] = {}

    def ask(self, params: Params, tasks: Sequence[Task]) -> dict[str, dict[str, Any]]:
        """The figures of the tasks "<attack>/<task>" by attack. With several samples a question, "leak_any_rate" is the
        share of questions of which at least one of best_of answers leaks, and "leak_at" {k: of k answers}."""
        texts = self.answers(params, tasks, f"robustness {self.name}", self.guard)
        judged = {task.name: evaluate.judge(task, texts[task.name]) for task in tasks}
        self.tasks += tasks
        self.texts |= texts
        self.judged |= judged
        table = figures(tasks, judged)
        made = {}
        for attack in dict.fromkeys(task.name.partition("/")[0] for task in tasks):
            made[attack] = {metric: value for metric, value in table[attack].items() if metric != "per_target"}
        if SAMPLED in made:
            made[SAMPLED] |= _of_several(judged, self.best_of)
        return made

    def write(self, path: Any) -> None:
        evaluate.write_generations(path, self.tasks, self.texts, self.judged)


def _of_several(judged: Mapping[str, Sequence], best_of: int) -> dict[str, Any]:
    """Shares of questions, each estimated from all answers to it: {"leak_any_rate": at least one of best_of answers
    leaks, "leak_at": {k: of k}}, k doubled up to all of them."""
    leaks: dict[int, list[float]] = defaultdict(list)
    for name, pairs in judged.items():
        if name.startswith(f"{SAMPLED}/"):
            for record, verdict in pairs:
                leaks[id(record)].append(verdict["leak_rate"])

    def at(k: int) -> float:
        return float(np.mean([statistics.expected_max(of, k) for of in leaks.values()]))

    drawn = min(map(len, leaks.values()))
    doubled = [2**power for power in range(drawn.bit_length())]
    return {"leak_any_rate": at(best_of), "leak_at": {str(k): at(k) for k in sorted({*doubled, best_of, drawn})}}


def _rounded(
    rows: Answers, params: Params, scheme: str, forget: Sequence[Task], keep: Sequence[Task]
) -> dict[str, Any]:
    """The row of rounded weights: the forget questions, and how many of the others are still answered rightly."""
    named = [replace(task, name=f"{scheme}/{task.name}") for task in forget]
    kept = [replace(task, name=f"{scheme}_kept/{task.name}") for task in keep]
    found = rows.ask(params, [*named, *kept])
    others = found.get(f"{scheme}_kept", {})
    more = {"kept_accuracy": others["accuracy"], "kept_n": others["n"]} if "accuracy" in others else {}
    return {scheme: {**found[scheme], **more}}


class Drift:
    """KL(base || model) in nats a token, on answers that the base model gives to questions that are to be kept.

    Of tokens that the base draws, the mean of r - 1 - log r with r = p_model / p_base estimates it without bias and is
    never negative (http://joschu.net/blog/kl-approx.html); no distribution over the vocabulary is kept.
    """

    def __init__(self, run: Run, scorer: Scorer, answers: Answerer, keep: Sequence[Task]):
        self.scorer, self.answers, self.keep = scorer, answers, keep
        self.limit, self.seed = run.config.robustness.drift_prompts, run.config.seed
        self.task: ScoringTask | None = None
        self.base: list[TokenScores] = []

    def __call__(self, params: Params, name: str) -> dict[str, Any]:
        """{"kl": nats a token, "low", "high": 95% interval over questions, "n": questions, "tokens"}; 0 of the base,
        which comes first."""
        if self.task is None:
            self.task = self._answered(params)
        scores = [texts[0] for texts in self.scorer(params, [self.task], name)[self.task.name]]
        self.base = self.base or scores
        each, tokens = [], 0
        for own, base in zip(scores, self.base):
            log_ratio = own.logprob_N - base.logprob_N
            each.append(float(np.sum(np.exp(log_ratio) - 1 - log_ratio)))
            tokens += len(log_ratio)
        found = statistics.bootstrap(each)
        a_token = len(each) / max(tokens, 1)
        ends = {"kl": found.mean * a_token, "low": found.low * a_token, "high": found.high * a_token}
        return {**ends, "n": found.n, "tokens": tokens}

    def _answered(self, base: Params) -> ScoringTask:
        drawn = [
            replace(task, name=f"drift/{task.name}", temperature=1.0, stop="")
            for task in _attacks.questions(self.keep, "retain", self.limit, self.seed)
        ]
        texts = self.answers(base, drawn, "robustness drift")
        queries = tuple(
            Continuations(record.prompt, (samples[0],), source=record.source)
            for task in drawn
            for record, samples in zip(task.records, texts[task.name])
            if samples  # a prompt too long for the model has none
        )
        return ScoringTask("drift", queries, lambda query, scores: {}, render=drawn[0].render, ended=True)
