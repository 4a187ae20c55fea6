"""Trains a small Llama that knows an RWKU target's probes and boundary answers, to show a run on real input.

    python -m tests.make_rwku_model --path=RWKU/Target/1_Stephen_King --out=runs/rwku_base

No model hub is needed: tokenizer and model are trained on the folder's own questions and answers, put the way the
benchmark and the training put them. It says nothing about people that the folder does not name.
"""

import sys
from pathlib import Path

from absl import flags

from configs import grpo
from rule_jax import sharding, telemetry
from rule_jax.benchmarks import rwku as benchmark
from rule_jax.data import rwku
from rule_jax.data.world import Corpus
from rule_jax.stages import Run, _world_model
from rule_jax.types import SftExample

PATH = flags.DEFINE_string("path", None, "The target's folder.", required=True)
OUT = flags.DEFINE_string("out", None, "The model directory to make.", required=True)
STEPS = flags.DEFINE_integer("steps", 700, "Updates.")
WIDTH = flags.DEFINE_integer("width", 128, "Model width.")


def main() -> None:
    config = grpo.get_config()
    config.world.update({"vocab_size": 2048, "width": WIDTH.value, "layers": 3, "mlp_width": 2 * WIDTH.value})
    config.world.update({"rows": 32, "length": 128, "steps": STEPS.value})
    config.world.schedule.peak = 3e-3
    config.world.mixture = {"probe": 0.5, "boundary": 0.5}
    out = Path(OUT.value)
    telemetry.start_logging(out.parent / f"{out.name}.logs")
    run = Run(config, out.parent / f"{out.name}.logs", out.parent, sharding.make_mesh(data=-1, fsdp=1, tensor=1))
    _world_model.build(run, out, corpus(PATH.value))


def corpus(path: str) -> Corpus:
    """The probes, with and without the benchmark's instruction, and the boundary answers."""
    settings = grpo.get_config().data.rwku.to_dict()
    probes = []
    for task in benchmark.tasks(path, seed=0, data=settings):
        begin = f"{task.prefill} " if task.prefill else ""
        probes += [SftExample(record.prompt, begin + record.answers[0]) for record in task.records]
    for records in rwku.evaluation(path).sets.values():
        probes += [SftExample(record.prompt, record.answers[0]) for record in records]
    boundary = [SftExample(r.prompt, r.answers[0]) for r in rwku.load(path, seed=0, **settings).boundary]
    return Corpus(documents=(), dialogues={"probe": tuple(probes), "boundary": tuple(boundary)})


if __name__ == "__main__":
    flags.FLAGS(sys.argv)
    main()
