"""One model, evaluated alone: nothing is trained.

Command:   python -m rule_jax.main --config=configs/evaluate.py --config.model.path=HF_DIR --config.benchmark=rwku \\
               --config.data.path=RWKU/Target/1_Stephen_King --workdir=runs/king_evaluated
           (config.benchmark: rwku, muse, tofu, jsonl, or world, which reads no files and, without config.model.path,
           examines its own base model; config.seed is the world's)
Hardware:  what the model needs to answer; a model of the default world's size takes seconds on two cores.
Result:    evaluate/model/, robustness/model/ and report/ as a training run leaves them, for python -m rule_jax.report.
"""

from typing import Any

from ml_collections import ConfigDict

from configs import grpo


def get_config() -> ConfigDict:
    c: Any = grpo.get_config()
    c.stages = ("evaluate", "robustness", "report")
    c.benchmark = "world"
    c.data.source = c.get_ref("benchmark")  # whose section says what config.data.path is
    c.evaluate.benchmark = c.get_ref("benchmark")

    # All attacks, the expensive ones too. Relearning trains all parameters, at a rate for a model of the world's size:
    # for one of billions set relearning.peak to 1e-5 or so, or relearning.examples to () where memory is short.
    c.robustness.records = 128
    c.robustness.samples = 8
    c.robustness.relearning.examples = (4, 16)
    c.robustness.relearning.benign = True
    return c
