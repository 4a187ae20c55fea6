"""What the model that is to forget says and knows, before it forgets. What it said is kept in a journal."""

import hashlib
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any, NamedTuple

from rule_jax import hf, telemetry
from rule_jax.errors import UserError
from rule_jax.journal import Journal, key_of
from rule_jax.stages import Run, check_divides, load_subject
from rule_jax.stages._answering import Answerer
from rule_jax.text.leak import leaks_answer
from rule_jax.text.refusal import is_refusal
from rule_jax.types import PromptRecord, Task


class Known(NamedTuple):
    """The greedy answer to a query, and the share of sampled answers that agree with it."""

    answer: str
    agreement: float


class BaseModel:
    """The model of config.model.path, answering through our own sampler. What it has said is in the journal.

    Raises UserError for a directory that is no model, and for a config.evaluate.batch that the mesh does not divide.
    """

    def __init__(self, run: Run, journal: Journal):
        self.run, self.journal = run, journal
        self.subject = load_subject(run, Path(run.config.model.path))
        batch, samples = run.config.evaluate.batch, run.config.consistency.samples
        if batch % samples:
            raise UserError(f"config.evaluate.batch={batch} must be a multiple of config.consistency.samples={samples}")
        check_divides(run, f"config.evaluate.batch / {samples} samples", batch // samples)
        hf.check(run.config.model.path)
        self.identity = _identity(self.subject.path)
        self._answerer: Callable[[Sequence[Task]], dict[str, list[list[str]]]] | None = None
        self._markup = sorted(
            {token.content for token in self.subject.tokenizer.added_tokens_decoder.values()}, key=len, reverse=True
        )

    def answers(
        self, prompts: Sequence[str], *, samples: int, temperature: float, max_new_tokens: int, stop: str
    ) -> Iterator[list[str]]:
        """`samples` answers to each prompt, as a chat turn, cut at `stop`; none to one that leaves no room for them.

        They are made a batch at a time, when they are asked for, and always in the same batches: an answer does not
        depend on which others are known already. Special tokens in a prompt's text are taken out of it: nothing that it
        quotes can end a turn or begin another.
        """
        drawn = {"samples": samples, "temperature": temperature, "max_new_tokens": max_new_tokens, "stop": stop}
        settings = {"model": self.identity, "seed": self.run.config.seed, **drawn}
        settings["system"] = self.run.config.model.system_prompt
        prompts = [defused(prompt, self._markup) for prompt in prompts]
        keys = [key_of({**settings, "prompt": prompt}) for prompt in prompts]
        distinct = list(dict(zip(keys, prompts)).items())
        place = {key: row for row, (key, _) in enumerate(distinct)}
        size = max(1, self.run.config.evaluate.batch // samples)
        for key in keys:
            if self.journal.get(key) is None:
                start = place[key] // size * size
                batch = distinct[start : start + size]
                records = tuple(PromptRecord(prompt, "retain") for _, prompt in batch)
                said = self._say(Task("builder", records, judge=lambda record, text: {}, **drawn))
                for (other, prompt), texts in zip(batch, said):
                    if self.journal.get(other) is None:
                        self.journal.add(other, {"prompt": prompt, "answers": texts})
            yield self.journal.get(key)["answers"]  # type: ignore[index]

    def knows(
        self, prompts: Sequence[str], *, samples: int, temperature: float, max_new_tokens: int, what: str
    ) -> Iterator[Known]:
        """The greedy answer to each prompt, and how many of `samples` others agree. A refusal agrees with nothing."""
        shape = {"max_new_tokens": max_new_tokens, "stop": "\n"}
        greedy = self.answers(prompts, samples=1, temperature=0.0, **shape)
        sampled = self.answers(prompts, samples=samples, temperature=temperature, **shape)
        with telemetry.Progress(f"the model's answers to {what}", len(prompts), unit="queries") as bar:
            for texts, others in zip(greedy, sampled):
                bar.advance()
                answer = next(iter(texts), "")
                yield Known(answer, agreement(answer, others))

    def _say(self, task: Task) -> list[list[str]]:
        if self._answerer is None:  # weights are loaded when something is to be said
            answerer = Answerer(self.run, self.subject)
            params = answerer.cast(hf.load_params(self.subject.path, self.subject.model, self.run.mesh))
            self._answerer = lambda tasks: answerer.of(params, tasks)
        return self._answerer([task])[task.name]


def agreement(answer: str, others: Sequence[str]) -> float:
    """The share of `others` that hold the answer, or are held by it; 0 for an empty answer, a refusal and no others."""
    if not answer.strip() or is_refusal(answer) or not others:
        return 0.0
    same = [leaks_answer(other, [answer]) or leaks_answer(answer, [other]) for other in others]
    return sum(same) / len(same)


def defused(text: str, markup: Sequence[str]) -> str:
    """The text without any of the tokens, also where taking one out would make another."""
    found: Any = True
    while found:
        found = [token for token in markup if token and token in text]
        for token in found:
            text = text.replace(token, "")
    return text


def _identity(path: Path) -> str:
    """A digest of what a model directory holds: config and tokenizer by content, weights by name, size and time."""
    digest = hashlib.sha256()
    for file in sorted(path.iterdir()):
        if file.suffix in (".json", ".jinja"):
            digest.update(file.read_bytes())
        elif file.suffix == ".safetensors":
            digest.update(f"{file.name} {file.stat().st_size} {file.stat().st_mtime_ns}".encode())
    return digest.hexdigest()[:16]
