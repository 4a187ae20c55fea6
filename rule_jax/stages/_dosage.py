"""How much Rejection Steering is enough: until refusals of every target are sampled often enough to be rewarded.

A target whose refusals are never sampled has groups of equal reward and stays as it is: reinforcement cannot find what
is not there. More than enough is harmful too: every neighbour is refused. The paper tries the checkpoints of three
epochs; here the answers are counted.
"""

from collections import defaultdict
from typing import Any

import jax
import numpy as np

from rule_jax import batching, programs, sharding, telemetry
from rule_jax.errors import UserError
from rule_jax.models.decoder import Params
from rule_jax.stages import Run, Subject, _lengths
from rule_jax.text import chat
from rule_jax.text.refusal import is_refusal


class Dosage:
    """Counts refusals among sampled answers to forget prompts, the same prompts every time, target by target.

    settings: config.rejection_steering.dosage. A pure function of (base, trained, step), so that a resumed run stops
    where an uninterrupted one does. Only prompts that stage 2 can take are asked. Raises UserError for a target that
    has none.
    """

    def __init__(self, run: Run, learner: Subject, settings: Any):
        self.run, self.learner, self.settings = run, learner, settings
        asked = _asked(run, learner, settings.prompts_per_target)
        self.targets, ids = [target for target, _ in asked], [ids for _, ids in asked]
        ids += [ids[0]] * (-len(ids) % sharding.row_shards(run.mesh))
        self.prompts = batching.pad_prompts(ids, batching.bucket(max(map(len, ids))))
        rebo = run.config.boundary_optimization
        self.temperature = rebo.temperature
        self.merge = programs.make_merge(learner.model, learner.tuning, run.mesh, run.compute_dtype, "decode")
        self.generate = programs.make_generate(
            learner.model,
            run.mesh,
            samples=settings.samples,
            max_new_tokens=rebo.max_new_tokens,
            eos_ids=learner.eos_ids,
        )

    def enough(self, base: Params, trained: Params, step: int) -> bool:
        """True when every target is refused in at least settings.refusal_rate of the samples; asked every few steps."""
        if step == 0 or step % self.settings.every:
            return False
        rollout = self.generate(
            self.merge(base, trained),
            sharding.put_rows(self.prompts, self.run.mesh),
            jax.random.key(self.run.config.seed),
            np.int32(step),
            sharding.put_rows(np.arange(len(self.prompts.length_B), dtype=np.int32), self.run.mesh),
            np.float32(self.temperature),
        )
        response, length = sharding.whole(rollout.response_BGR), sharding.whole(rollout.length_BG)
        refused: dict[str, list[bool]] = defaultdict(list)
        for row, target in enumerate(self.targets):
            ids = [response[row, g, : length[row, g]] for g in range(self.settings.samples)]
            refused[target] += [is_refusal(text.strip()) for text in chat.decode(self.learner.tokenizer, ids)]
        rates = {target: float(np.mean(found)) for target, found in refused.items()}
        least = min(rates, key=lambda target: rates[target])
        telemetry.info(
            f"rejection_steering: after step {step} {np.mean(list(rates.values())):.2f} of sampled answers refuse, "
            f"least for {least} ({rates[least]:.2f})"
        )
        return rates[least] >= self.settings.refusal_rate


def _asked(run: Run, learner: Subject, count: int) -> list[tuple[str, list[int]]]:
    """(target, token ids) of `count` forget prompts of each target, drawn by the seed from those that stage 2 can take;
    fewer where a target has fewer."""
    records = run.records("forget")
    by_target: dict[str, list[list[int]]] = {record.target: [] for record in records}
    for record, ids in _lengths.prompts(run, learner, "rejection_steering: forget prompts", records):
        by_target[record.target].append(ids)
    without = [target for target, prompts in by_target.items() if not prompts]
    if without:
        limit = run.config.boundary_optimization.max_prompt_tokens
        raise UserError(
            f"no forget prompt of {', '.join(without)} fits in config.boundary_optimization.max_prompt_tokens={limit}; "
            "raise it, or set config.data.too_long=cut"
        )
    rng = np.random.default_rng(run.config.seed)
    return [(target, ids[row]) for target, ids in by_target.items() for row in rng.permutation(len(ids))[:count]]
