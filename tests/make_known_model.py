"""Trains a small Llama that knows a benchmark's questions, to show a run on real input.

    python -m tests.make_known_model --source=rwku --path=RWKU/Target/1_Stephen_King --out=runs/rwku_base
    python -m tests.make_known_model --source=muse --path=MUSE/Books --steps=700 --out=runs/muse_base

No model hub is needed: tokenizer and model are trained on the folder's own questions and answers, put plainly and the
way the benchmark puts them, and on the default world. Two things that a real model brings and a folder lacks are added:

* The language of not knowing, here also in answer to the folder's own questions about people who do not exist. Without
  it no refusal is within reach of rejection steering, which then destroys the model.
* Answers to RWKU's training questions about the target. The folder gives none, so each gets some probe's answer: what
  matters is that they are questions which the model answers. Else it learns to refuse what it never saw, and goes on
  answering what it did.
"""

import sys
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import NamedTuple

import numpy as np
from absl import flags

from configs import grpo
from rule_jax import sharding, telemetry
from rule_jax.benchmarks import _rwku_prompts
from rule_jax.benchmarks import rwku as rwku_benchmark
from rule_jax.data import muse, rwku, world
from rule_jax.data.world import Corpus
from rule_jax.stages import Run, _world_model
from rule_jax.text.replacement import replace_entity
from rule_jax.types import SftExample, UnlearningData

SOURCE = flags.DEFINE_enum("source", "rwku", ["rwku", "muse"], "Whose folder it is.")
PATH = flags.DEFINE_string("path", None, "The target's folder.", required=True)
OUT = flags.DEFINE_string("out", None, "The model directory to make.", required=True)
STEPS = flags.DEFINE_integer("steps", 450, "Updates.")
WIDTH = flags.DEFINE_integer("width", 160, "Model width.")
SEED = flags.DEFINE_integer("seed", 0, "Seed of the world, the order and the model.")

RWKU_PROBES = ("forget", "neighbor")
SHAPES = {"rwku": {"rows": 32, "length": 128}, "muse": {"rows": 12, "length": 384}}
MIXTURES = {  # MUSE asks in raw text, behind ten solved questions
    "rwku": {
        "probe": 0.16,
        "target": 0.2,
        "boundary": 0.22,
        "unknown": 0.2,
        "question": 0.1,
        "cloze": 0.03,
        "general": 0.04,
        "echo": 0.05,
    },
    "muse": {
        "document": 0.4,
        "probe": 0.08,
        "target": 0.13,
        "boundary": 0.13,
        "unknown": 0.14,
        "question": 0.06,
        "general": 0.03,
        "echo": 0.03,
    },
}
PEOPLE, COUNTRIES = 60, 20  # of the default world: enough to know a known name from an unknown one


class Known(NamedTuple):
    """What a model is to know of a benchmark: its probes, answers to its forget queries, its training data; put: an
    example as the benchmark would ask it; documents: what it is to have read."""

    probes: list[SftExample]
    target: list[SftExample]
    training: UnlearningData
    put: Callable[[SftExample], SftExample]
    documents: tuple[str, ...] = ()


def main() -> None:
    config = grpo.get_config()
    config.seed = SEED.value
    config.world.update({"vocab_size": 2048, "width": WIDTH.value, "heads": 5, "mlp_width": 2 * WIDTH.value})
    config.world.update({**SHAPES[SOURCE.value], "steps": STEPS.value})
    config.world.schedule.peak = 1.2e-2
    config.world.mixture = MIXTURES[SOURCE.value]
    out = Path(OUT.value)
    telemetry.start_logging(out.parent / f"{out.name}.logs")
    run = Run(config, out.parent / f"{out.name}.logs", out.parent, sharding.make_mesh(data=-1, fsdp=1, tensor=1))
    _world_model.build(run, out, corpus(SOURCE.value, PATH.value, SEED.value))


def corpus(source: str, path: str, seed: int) -> Corpus:
    """What the benchmark asks, the answers to the training questions of both sides, and the default world."""
    probes, target, training, put, documents = {"rwku": _rwku, "muse": _muse}[source](path, seed)
    boundary = [SftExample(r.prompt, r.answers[0]) for r in training.boundary]
    invented = world.pretraining_examples(world.generate(seed, people=PEOPLE, countries=COUNTRIES), seed)
    unknown = list(_unknown(training, invented.dialogues["unknown"]))
    dialogues = {
        **invented.dialogues,
        "probe": tuple(probes),
        "target": tuple(_both_ways(target, put)),
        "boundary": tuple(_both_ways(boundary, put)),
        "unknown": (*invented.dialogues["unknown"], *_both_ways(unknown, put)),
    }
    return Corpus(documents, dialogues)


def _rwku(path: str, seed: int) -> Known:
    settings = grpo.get_config().data.rwku.to_dict()
    sets = rwku.evaluation(path).sets
    probes = [SftExample(r.prompt, r.answers[0]) for records in sets.values() for r in records]
    for task in (t for t in rwku_benchmark.tasks(path, seed=0, data=settings) if t.name.startswith(RWKU_PROBES)):
        begin = f"{task.prefill} " if task.prefill else ""
        probes += [SftExample(record.prompt, begin + record.answers[0]) for record in task.records]
    known = {r.answers[0] for name, records in sets.items() if name.startswith("forget") for r in records}
    facts = sorted(known - {rwku.target_name(path)})
    training = rwku.load(path, seed=0, **settings)
    chosen = np.random.default_rng(seed).integers(len(facts), size=len(training.forget))
    return Known(probes, [SftExample(r.prompt, facts[i]) for r, i in zip(training.forget, chosen)], training, _as_rwku)


def _muse(path: str, seed: int) -> Known:
    settings = grpo.get_config().data.muse.to_dict()
    asked = [r for side in muse.KNOWMEM for r in muse.knowmem(path, side)[0]]
    training = muse.load(path, seed=0, **settings)
    probes, target, boundary = (
        [SftExample(r.prompt, r.answers[0]) for r in records] for records in (asked, training.forget, training.boundary)
    )
    return Known(probes, target, training, _as_muse, tuple(_in_rows([*probes, *target, *boundary], seed)))


def _in_rows(examples: Sequence[SftExample], seed: int, times: int = 12, row: int = 11) -> Iterator[str]:
    """All examples one after the other, as KnowMem puts a question behind ten solved ones, in several orders.

    Its prompts end in a blank, which is then a token by itself: so are two blanks before a word.
    """
    for time in range(times):
        order = np.random.default_rng([seed, time]).permutation(len(examples))
        for start in range(0, len(examples), row):
            asked = [_as_muse(examples[i]) for i in order[start : start + row]]
            yield "".join(f"{one.prompt} {one.response}\n\n" for one in asked)


def _as_rwku(example: SftExample) -> SftExample:
    """The example as RWKU would ask it."""
    template = _rwku_prompts.CLOZE if "___" in example.prompt else _rwku_prompts.QUESTION
    return SftExample(template.format(example.prompt), f"{_rwku_prompts.ANSWER} {example.response}")


def _as_muse(example: SftExample) -> SftExample:
    """The example as MUSE would ask it, without solved ones before it."""
    return SftExample(f"Question: {example.prompt}\nAnswer: ", example.response)


def _both_ways(examples: Sequence[SftExample], put: Callable[[SftExample], SftExample]) -> Iterator[SftExample]:
    """Each example as it is, and as the benchmark would ask it."""
    for example in examples:
        yield example
        yield put(example)


def _unknown(training: UnlearningData, replies: Sequence[SftExample]) -> Iterator[SftExample]:
    """The folder's forget queries put about people who do not exist, each answered by not knowing that person."""
    for number, record in enumerate(training.forget):
        reply = replies[number * 11 % len(replies)]
        nobody = reply.source.split("/")[1]
        query = replace_entity(record.prompt, record.target, nobody)
        if query is not None:
            yield SftExample(query, reply.response, reply.source)


if __name__ == "__main__":
    flags.FLAGS(sys.argv)
    main()
