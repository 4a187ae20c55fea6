"""RULE with GRPO (arXiv 2506.07171) on the default world: nothing is downloaded, a laptop's CPU is enough.

Command:   python -m rule_jax.main --config=configs/grpo.py
Hardware:  two cores and 1.5 GB; 2 minutes 52 seconds with empty caches, 1 minute 17 with full ones.
Result:    seeds 0 to 4, mean (worst): forget refusal 1.00 (1.00), leak 0.00 (0.00); of base, boundary accuracy
           0.99 (0.98), neighbours never trained on 0.97 (0.93), general facts 0.99 (0.98); README.md
           has the whole table.
Departs:   answers that are cut at max_new_tokens earn nothing (refusals rambled otherwise), and Rejection
           Steering ends when each target is refused often enough in sampled answers (see stages/_dosage.py).
"""

from ml_collections import ConfigDict


def get_config() -> ConfigDict:
    c = ConfigDict()
    c.seed = 0
    c.stages = (
        "prepare_data",
        "rejection_steering",
        "boundary_optimization",
        "evaluate",
        "robustness",
        "export",
        "report",
    )

    # Devices: sizes of the mesh axes; -1 takes what the others leave.
    c.mesh = {"data": -1, "fsdp": 1, "tensor": 1}

    # The model that is to forget. path: an HF directory; "" makes and uses the default world's own.
    c.model = {
        "path": "",
        "chat_template": "",  # "": the model's own; "plain": question and answer; or a Jinja file
        "system_prompt": "",
        "compute_dtype": "auto",  # bfloat16 on accelerators, float32 on a CPU
        "moments_dtype": "float32",  # Adam's; bfloat16 halves their memory
        "reference_memory": "device",  # of the KL reference; host: it comes to the device once a step and goes again
        "remat": False,  # recompute blocks in the backward pass: less memory, a third more work
        "attention": "einsum",  # or xla, cudnn (on GPUs), splash (on TPUs): rule_jax/ops/kernels.py
        "logit_chunk": 0,  # tokens whose logits exist at once, of a prompt's answers or a packed row; 0: 1 GiB a device
    }

    # What is trained: all parameters (rank 0), or an adapter of low rank beside these projections of every layer.
    # Then checkpoints hold the adapter, the base lies in the compute dtype, and no second copy is the KL reference.
    c.lora = {
        "rank": 0,
        "alpha": 32.0,  # the adapter is scaled by alpha / rank
        "targets": ("query", "key", "value", "out", "gate", "up", "down"),
    }

    # What to forget. Each source reads the section of its name; the others are idle.
    c.data = {
        "source": "world",
        # A folder or a file; "hub:OWNER/NAME" for rwku, muse and tofu; the world has none, but 2 is its second request.
        "path": "",
        "more_paths": (),  # further targets of the same source, forgotten together with the first
        "too_long": "drop",  # prompts beyond a stage's limit are left out; "cut" shortens them at their beginning
        "forget_share": 1.0,  # of each target's forget records and refusals; the rest is not trained on
        "refusal_wordings": 0,  # refusals of so many wordings of ours in place of the source's; 0: the source's
        "boundary_answers": {"wrong": 0.0, "missing": 0.0},  # shares of the boundary's references; ablation
        "earlier": (),  # paths of targets that earlier runs forgot: not trained on, only asked about again
        "world": {
            "domain": "person",  # what is forgotten: person, concept, procedure, or a relation of all people
            "people": 160,  # or concepts, or procedures
            "countries": 30,
            "forget_people": 6,
            "boundary_people": 100,
            "boundary_share": 4.0,  # boundary records per forget record
            "namesakes_apart": False,  # who shares a first name with a target is a neighbour, never boundary
        },
        "rwku": {
            "rejection_file": "reject_target.json",
            "training_file": "rl_rejection_with_fb_neighbor_target.json",
        },
        "muse": {"target": "Harry Potter", "training_file": "reject_with_neighbor_target.qa_only.json"},
        "tofu": {
            "forget": "forget10",
            "retain": "retain90",
            "boundary_share": 1.0,  # boundary records per forget record
            "rows_per_author": 20,
            "unnamed": "this author",  # what authors are called whose name the rows do not tell
        },
        "jsonl": {
            "rejection_file": "",  # "": our own refusals
            "evaluation_file": "",  # "": the records that are trained on
            # The names that the fields have in your file.
            "columns": {
                name: name for name in ("prompt", "kind", "target", "entity", "answers", "source", "render", "prefill")
            },
        },
    }

    # How the default world's base model is made (only when model.path is "").
    c.world = {
        "vocab_size": 1280,
        "width": 128,
        "layers": 3,
        "heads": 4,
        "mlp_width": 256,
        "rows": 48,
        "length": 64,
        "steps": 280,
        # Shares of the tokens.
        "mixture": {"document": 0.26, "unknown": 0.12, "general": 0.20, "cloze": 0.08, "question": 0.30, "echo": 0.04},
        # Muon on the kernels of the layers, AdamW at adam_share of its rate on the rest.
        "optimizer": {"beta": 0.95, "b1": 0.9, "b2": 0.98, "eps": 1e-8, "adam_share": 0.5, "weight_decay": 0.1},
        "schedule": {"peak": 1.6e-2, "warmup_steps": 30, "decay": "linear"},
    }

    # The stage "recollection", which is not among config.stages: what the base model says of the targets and of the
    # boundary's entities when it is left alone with a name; samples of each.
    c.recollection = {"samples": 64, "boundary_samples": 4, "max_new_tokens": 24}

    # Stage 1: pi_rej.
    c.rejection_steering = {
        "objective": "sft",
        "objective_options": {},
        "steps": 80,  # at most
        # Stop as soon as every target is refused in this share of sampled answers; a rate of 0 takes all steps.
        "dosage": {"refusal_rate": 0.35, "every": 4, "prompts_per_target": 8, "samples": 8},
        "batch": 32,
        "microbatches": 0,  # 0: by size, which is 1 on an accelerator (rule_jax/microbatches.py)
        "max_length": 512,
        "optimizer": {"b1": 0.9, "b2": 0.95, "eps": 1e-8, "weight_decay": 0.0, "max_grad_norm": 1.0},
        "schedule": {"peak": 1.5e-4, "warmup_steps": 0, "decay": "constant"},
        "checkpoint_every": 10,
        "keep_checkpoints": 2,
    }

    # Stage 2: pi_rule.
    others = ("frame", "prefill", "raw_question", "raw_statement", "own_words", "namesake")
    forms = {"chat": 1.0, **dict.fromkeys(others, 0.0)}
    c.boundary_optimization = {
        "steps": 70,
        "forget_prompts": 16,
        "boundary_prompts": 16,
        # How the queries of either side are put, by weight (text/forms.py; own_words: stage recollection; namesake: of
        # the boundary, about nobody who has half a target's name); the paper asks in chat alone.
        "forms": {"forget": {**forms}, "boundary": {**forms}},
        "retain_share": 0.0,  # of boundary_prompts: queries that have nothing to do with a target (recollection)
        "kept_prompts": 0,  # learnt from, of those sampled: where rewards differ (stages/_selection.py); 0: all
        "samples": 8,
        "temperature": 1.0,
        "max_prompt_tokens": 512,
        "max_new_tokens": 16,
        "rollout_parts": 1,  # more: the batch is sampled in so many parts, of which one at a time holds its caches
        "microbatches": 0,
        "optimizer": {"b1": 0.9, "b2": 0.95, "eps": 1e-8, "weight_decay": 0.0, "max_grad_norm": 1.0},
        "schedule": {"peak": 3.5e-4, "warmup_steps": 0, "decay": "linear"},
        # Algorithms with a critic (ppo) train it with these; the others have none.
        "critic": {
            "optimizer": {"b1": 0.9, "b2": 0.95, "eps": 1e-8, "weight_decay": 0.0, "max_grad_norm": 1.0},
            "schedule": {"peak": 5e-4, "warmup_steps": 0, "decay": "linear"},
        },
        # Of the hard groups (mean reward at most max_reward) of the first store_steps steps, capacity are kept; every
        # later step replays so many groups; 0 for none.
        "replay": {"groups": 0, "capacity": 64, "store_steps": 20, "max_reward": 0.5},
        "checkpoint_every": 10,
        "keep_checkpoints": 2,
        # The evaluation's prompts, greedily: every so many updates (0: never), at most so many of a task. patience:
        # validations without a better score before training stops and the best checkpoint counts (0: the newest does).
        "validation": {"every": 0, "records": 32, "patience": 0},
        "answers_every": 20,  # rollouts/step_*.jsonl and a few answers in the log; 0: never
    }
    c.algorithm = {
        "name": "grpo",
        "advantage_scale": "group",
        "ddof": 1,
        "surrogate": {
            "clip_low": 0.2,
            "clip_high": 0.3,
            "dual_clip": 3.0,
            "ratio": "token",
            "aggregate": "token_mean",
            "entropy_coef": 0.0,
        },
        "kl": {"placement": "loss", "estimator": "k3", "coef": 1e-2, "forget": 1.0, "target": 0.0, "gain": 0.1},
        "answers": {
            "drop_zero_variance": False,
            "mask_truncated": False,
            "overlong_margin": 0,
            "overlong_penalty": 1.0,
        },
        "updates": {"epochs": 1, "minibatches": 1, "old": "scored"},  # or "sampled", for several: a pass less
    }
    c.reward = {
        "name": "rule",
        "alpha": 0.5,
        "beta": 0.5,
        "tau": 0.3,
        "gated": True,
        "detector": "ours",  # of refusals; "compat" is the released reward's pattern, for comparison
        "unfinished": False,  # the paper's code rewards cut answers too; here refusals then learn to ramble
    }

    # The stage "baseline", not among config.stages: other ways to unlearn, for comparison (configs/baselines), or
    # before stage 2 (configs/grpo_robust.py).
    c.baseline = {
        "name": "",  # what reports call it
        # The loss: name -> {"objective", "of", "weight", "options"}; see rule_jax/objectives, and PARTS in
        # rule_jax/stages/_exchanges.py for what a term may be of. {} trains nothing.
        "terms": {},
        "negation": 0.0,  # task vectors: the result is the start less so much of what was learned; 0: what was learned
        "system_prompt": "",  # before every chat turn; {targets} become the names of who is to be forgotten
        "filter": False,  # a question that names a target gets a refusal, unasked
        "steps": 60,
        "batch": 32,  # of each part that a term reads
        "microbatches": 0,
        "max_length": 512,
        "optimizer": {"b1": 0.9, "b2": 0.95, "eps": 1e-8, "weight_decay": 0.0, "max_grad_norm": 1.0},
        "schedule": {"peak": 1e-4, "warmup_steps": 0, "decay": "linear"},
        "checkpoint_every": 20,
        "keep_checkpoints": 2,
    }

    # Where the numbers of logs/metrics.jsonl go as well. tensorboard: on, off, or auto (where it is installed).
    c.watch = {"tensorboard": "auto", "wandb_project": ""}

    # Proof. benchmark: "" is the one of the data source.
    c.evaluate = {
        "benchmark": "",
        "batch": 256,  # answers that are generated at once
        "score_tokens": 8192,  # tokens that are scored at once
        # muse, tofu: evaluate/<model> of a run whose model never saw the forget set, or a log of TOFU's own evaluation
        "retrained": "",
    }
    # Attacks on the base and the last model. These are cheap; configs/evaluate.py has the others switched on.
    c.robustness = {
        "records": 36,  # questions about the targets that each attack puts, at most
        "attacks": ("role_play", "prefix", "suffix", "reminder", "prefill", "raw"),
        "samples": 0,  # answers drawn to each question; 0: none
        "best_of": 0,  # of how many of them one leak is enough, estimated from all; 0: of all
        "weights": ("int8", "int4"),  # round-to-nearest
        "drift_prompts": 0,  # questions to be kept, on which the KL to the base model is measured; 0: it is not
        # Training on some facts, or on as many others (benign), to see what of the rest comes back; () for none.
        "relearning": {
            "examples": (),
            "benign": False,
            "steps": 20,
            "every": 5,
            "batch": 16,
            "peak": 2e-4,
            "optimizer": {"b1": 0.9, "b2": 0.95, "eps": 1e-8, "weight_decay": 0.0, "max_grad_norm": 1.0},
        },
    }
    # The stage "naturalness", which is not among config.stages: answers looked at of either side, and the judge, who is
    # asked where journal names a file.
    c.naturalness = {
        "records": 64,
        "judge": {
            "journal": "",
            "temperature": 0.7,
            "llm": {
                "base_url": "https://api.openai.com/v1",
                "model": "gpt-4o-mini",
                "api_key_env": "OPENAI_API_KEY",  # "" for a server without keys
                "concurrency": 8,
                "requests_per_minute": 500,
                "tokens_per_minute": 200_000,  # counted at the longest reply
                "timeout_s": 60.0,
                "retries": 6,
                "asked_again": 2,
                # Over all runs with this journal; 0 is no limit. Money is in the currency of the prices.
                "budget": {"requests": 0, "tokens": 0, "money": 2.0},
                # (model, input, output) for a million tokens; check them, they change. Add a row for another model.
                "prices": (("gpt-4o-mini", 0.15, 0.60), ("gpt-4o", 2.50, 10.00)),
            },
        },
    }
    c.report = {"request_id": ""}  # of the request to erase, for audit.json; "" makes one from targets, data and model
    return c
