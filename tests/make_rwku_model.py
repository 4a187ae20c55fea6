"""Trains a small Llama that knows an RWKU target's probes and boundary answers, to show a run on real input.

    python -m tests.make_rwku_model --path=RWKU/Target/1_Stephen_King --out=runs/rwku_base

No model hub is needed: tokenizer and model are trained on the folder's own questions and answers, put the way the
benchmark and the training put them, and on the default world. The world brings what any chat model has and a folder of
questions lacks: the language of not knowing, here also in answer to the folder's own questions about people who do not
exist. Without it no refusal is within reach of rejection steering, which then destroys the model.
"""

import sys
from collections.abc import Iterator
from pathlib import Path

from absl import flags

from configs import grpo
from rule_jax import sharding, telemetry
from rule_jax.benchmarks import rwku as benchmark
from rule_jax.data import rwku, world
from rule_jax.data.world import Corpus
from rule_jax.stages import Run, _world_model
from rule_jax.text.replacement import replace_entity
from rule_jax.types import SftExample

PATH = flags.DEFINE_string("path", None, "The target's folder.", required=True)
OUT = flags.DEFINE_string("out", None, "The model directory to make.", required=True)
STEPS = flags.DEFINE_integer("steps", 900, "Updates.")
WIDTH = flags.DEFINE_integer("width", 160, "Model width.")
SEED = flags.DEFINE_integer("seed", 0, "Seed of the world, the order and the model.")

PEOPLE, COUNTRIES = 60, 20  # of the default world: enough to know a known name from an unknown one


def main() -> None:
    config = grpo.get_config()
    config.seed = SEED.value
    config.world.update({"vocab_size": 2048, "width": WIDTH.value, "heads": 5, "mlp_width": 2 * WIDTH.value})
    config.world.update({"rows": 32, "length": 128, "steps": STEPS.value})
    config.world.schedule.peak = 3e-3
    config.world.mixture = {
        "probe": 0.24,
        "boundary": 0.28,
        "unknown": 0.2,
        "question": 0.12,
        "cloze": 0.04,
        "general": 0.06,
        "echo": 0.06,
    }
    out = Path(OUT.value)
    telemetry.start_logging(out.parent / f"{out.name}.logs")
    run = Run(config, out.parent / f"{out.name}.logs", out.parent, sharding.make_mesh(data=-1, fsdp=1, tensor=1))
    _world_model.build(run, out, corpus(PATH.value, SEED.value))


def corpus(path: str, seed: int) -> Corpus:
    """The probes, with and without the benchmark's instruction, the boundary answers, and the default world."""
    settings = grpo.get_config().data.rwku.to_dict()
    probes = []
    for task in benchmark.tasks(path, seed=0, data=settings):
        begin = f"{task.prefill} " if task.prefill else ""
        probes += [SftExample(record.prompt, begin + record.answers[0]) for record in task.records]
    for records in rwku.evaluation(path).sets.values():
        probes += [SftExample(record.prompt, record.answers[0]) for record in records]
    training = rwku.load(path, seed=0, **settings)
    invented = world.pretraining_examples(world.generate(seed, people=PEOPLE, countries=COUNTRIES), seed)
    dialogues = {
        **invented.dialogues,
        "probe": tuple(probes),
        "boundary": tuple(SftExample(r.prompt, r.answers[0]) for r in training.boundary),
        "unknown": (*invented.dialogues["unknown"], *_unknown(training, invented.dialogues["unknown"])),
    }
    return Corpus(documents=(), dialogues=dialogues)


def _unknown(training, replies: tuple[SftExample, ...]) -> Iterator[SftExample]:
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
