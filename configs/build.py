"""A forget and boundary set from a name.

Command:   python -m rule_jax.build --config=configs/build.py --config.target="Stephen King" --workdir=runs/king_data
           (config.backend: "openai", an endpoint, with its key in $OPENAI_API_KEY; "policy", the model of
           config.model.path itself; "table", a file of entities, or the default world)
           python -m rule_jax.build --config=configs/build.py --audit_only --config.data.source=rwku \
               --config.data.path=RWKU/Target/1_Stephen_King --config.benchmark.name=rwku --config.benchmark.path=...
Hardware:  none for "openai" and "table"; what the model needs for "policy" and for config.model.path.
Result:    a folder that main reads with --config.data.source=jsonl --config.data.path=FOLDER.
"""

from typing import Any

from ml_collections import ConfigDict

from configs import grpo


def get_config() -> ConfigDict:
    main: Any = grpo.get_config()
    c = ConfigDict()
    c.seed = 0

    # What to forget.
    c.target = ""
    c.aliases = ()  # other names of it
    c.intro = ""  # a sentence about it, for names that are shared
    c.more_targets = ()  # others, each a name or {"name": ..., "aliases": (...), "intro": ...}; a folder for each
    c.queries = 300  # facts; each is asked as a question and as a fill-in-the-blank

    # Who writes, and in which words: "" is rule_jax/builder/prompts; a folder replaces them file by file.
    c.backend = "openai"
    c.prompts = ""
    c.openai = {
        "relations": 15,  # kinds of facts
        "items": 10,  # facts asked for at once
        "rounds": 4,  # times that each relation is asked for more, at most
        "temperature": 0.7,  # for facts; all else is greedy
        "max_tokens": 1600,  # of a list of facts; replies about one query get a quarter
    }
    c.policy = {"relations": 15, "items": 5, "rounds": 8, "temperature": 0.7, "max_tokens": 768, "asked_again": 2}
    c.table = {"file": ""}  # "": the default world of this seed

    # The endpoint of "openai". A server of your own: base_url http://localhost:8000/v1 (vLLM) or
    # http://localhost:11434/v1 (Ollama), its model, api_key_env "", budget.money 0.
    c.llm = main.naturalness.judge.llm

    # Entities beside the target. names: your own; () asks for `count`. attempts: neighbours tried for a query.
    c.neighbours = {"count": 30, "names": (), "attempts": 3}

    # The model that is to forget (model.path; "" for none): queries that it does not answer steadily are left out, and
    # boundary answers are its own ("base") where they are steady, or the backend's everywhere ("backend").
    c.model = main.model
    c.lora = main.lora
    c.mesh = main.mesh
    c.evaluate = {"batch": 240}
    c.answers = "base"
    c.consistency = {"samples": 5, "temperature": 1.0, "agreement": 0.6, "max_new_tokens": 32}

    # Judged before it is written. second_opinion: the backend says of each boundary query whether it is sound, in a
    # "build", "always" (with --audit_only too), or "never".
    c.audit = {
        "second_opinion": "build",
        "max_answer_share": 0.05,
        "similarity": 0.5,  # of two questions that are taken for one, see rule_jax/text/similarity.py
        "language": "en",
        "prompt_words": (3, 80),
        "answer_words": (1, 60),
        "actions": {  # drop the row (or the one answer at fault), report, or refuse the whole set
            "refusal_answer": "drop",
            "correcting_answer": "drop",
            "dominant_answer": "drop",
            "duplicate": "drop",
            "near_duplicate": "drop",
            "contradiction": "drop",
            "false_premise": "drop",
            "names_target": "drop",
            "target_as_answer": "drop",
            "unfit_entity": "drop",
            "benchmark_entity": "drop",
            "benchmark_probe": "drop",
            "unnamed_target": "drop",  # only reported where the target is a corpus (muse)
            "language": "drop",
            "length": "drop",
            "cut_prompt": "drop",
            "markup": "drop",
            "no_refusal": "drop",
            "unnamed_refusal": "drop",
        },
    }
    c.benchmark = {"name": "", "path": ""}  # whose probes and neighbours must not be in the set

    # For --audit_only: the records to judge.
    c.data = main.data
    c.data.source = ""
    return c
