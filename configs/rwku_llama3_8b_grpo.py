"""RULE with GRPO on one RWKU target with Llama-3-8B-Instruct, at the published hyperparameters.

Reproduces:  arXiv 2506.07171, RWKU, the row ReBO-GRPO: full fine-tuning, RS 3 epochs of 300 refusals at lr 4e-7, then
             20 steps of 32 prompts x 8 samples at lr 2e-6, KL 1e-2 (k3, in the loss), clip 0.2/0.3, dual clip 3.
Command:     python -m rule_jax.main --config=configs/rwku_llama3_8b_grpo.py \
                 --config.model.path=/models/Meta-Llama-3-8B-Instruct --config.data.path=RWKU/Target/1_Stephen_King
Hardware:    not run with real weights yet by the authors of this file. fsdp=-1 spreads parameters, moments and
             reference over all devices of the run. A v5e-16 needs --config.mesh.fsdp=4 --config.mesh.tensor=4
             --config.boundary_optimization.microbatches=8 --config.model.moments_dtype=bfloat16
             --config.model.logit_chunk=256 (rule_jax/models/README.md, Memory); rule_jax.plan tells for others.
Result:      the paper reports forget 27.7, naturalness 89.1, retain 73.7 (from 76.9, 70.6, 87.6). Not measured here.
"""

from typing import Any

from ml_collections import ConfigDict

from configs import grpo


def get_config() -> ConfigDict:
    c: Any = grpo.get_config()
    c.mesh = {"data": 1, "fsdp": -1, "tensor": 1}
    c.model.remat = True
    c.data.source = "rwku"

    rs = c.rejection_steering
    rs.dosage.refusal_rate = 0.0  # the published recipe has a fixed length
    rs.steps, rs.batch, rs.checkpoint_every, rs.keep_checkpoints = 114, 8, 38, 3
    rs.optimizer = {"b1": 0.9, "b2": 0.999, "eps": 1e-8, "weight_decay": 0.0, "max_grad_norm": 1.0}
    rs.schedule = {"peak": 4e-7, "warmup_steps": 20, "decay": "cosine"}

    rebo = c.boundary_optimization
    rebo.steps, rebo.forget_prompts, rebo.boundary_prompts, rebo.samples = 20, 16, 16, 8
    rebo.max_prompt_tokens, rebo.max_new_tokens = 512, 1024
    rebo.microbatches, rebo.checkpoint_every = 4, 10
    rebo.optimizer = {"b1": 0.9, "b2": 0.999, "eps": 1e-8, "weight_decay": 1e-2, "max_grad_norm": 1.0}
    rebo.schedule = {"peak": 2e-6, "warmup_steps": 0, "decay": "constant"}
    c.reward.unfinished = True
    return c
