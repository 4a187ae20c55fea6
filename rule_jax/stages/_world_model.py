"""Makes the default world's base model: a tokenizer and a small Llama that has read the world, as an HF directory.

It is kept in the cache under a key of everything that determines it, and from there on takes the way of any model.
"""

import hashlib
import json
import shutil
import tempfile
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import jax
import numpy as np
import optax
from optax.contrib import MuonDimensionNumbers, muon
from tokenizers import Tokenizer, decoders, models, pre_tokenizers, trainers

from rule_jax import batching, files, hf, preemption, processes, programs, sharding, telemetry
from rule_jax.data import world
from rule_jax.models import lora
from rule_jax.models.decoder import Model, Params
from rule_jax.objectives import sft
from rule_jax.stages import Run
from rule_jax.text import chat
from rule_jax.types import Packed, SftExample

BEGIN, END, SYSTEM, USER, ASSISTANT = "<|begin|>", "<|end|>", "<|system|>", "<|user|>", "<|assistant|>"
TEMPLATE = (
    "{{ bos_token }}{% for m in messages %}{{ '<|' + m.role + '|>' + m.content }}"
    "{% if m.role == 'assistant' %}{{ eos_token }}{% endif %}{% endfor %}"
    "{% if add_generation_prompt %}<|assistant|>{% endif %}"
)
PACKAGE = Path(__file__).parent.parent


def ensure(run: Run) -> Path:
    """The directory of the world's base model; made now if the cache has none."""
    settings, seed = run.config.data.world, run.config.seed
    made = world.generate(seed, people=settings.people, countries=settings.countries, domain=settings.domain)
    corpus = world.pretraining_examples(made, seed)
    directory = run.cache_dir / "world" / _key(run.config, corpus)
    if processes.agreed(directory.exists()):
        telemetry.info(f"world model: using {directory}")
        return directory
    telemetry.info(f"world model: none in the cache for this seed and config; making {directory}")
    build(run, directory, corpus)
    return directory


def build(run: Run, directory: Path, corpus: world.Corpus) -> None:
    """Trains a tokenizer and a model on a corpus, as config.world says, and publishes them as an HF directory."""
    directory.parent.mkdir(parents=True, exist_ok=True)
    own = tempfile.mkdtemp(prefix=f".{directory.name}.", dir=directory.parent) if processes.first() else ""
    staging = Path(processes.agreed(own))
    try:
        if processes.first():
            _write_tokenizer(staging, corpus, run.config.world.vocab_size)
            _write_config(staging, run.config.world)
        processes.wait("world model begun")
        model, tokenizer = hf.load_model(staging), chat.load_tokenizer(staging)
        params = _train(run, model, _pretraining_rows(run, tokenizer, corpus, hf.eos_ids(staging)))
        hf.save(directory, model, params, like=staging)
        processes.wait("world model written")
    finally:
        if processes.first():
            shutil.rmtree(staging, ignore_errors=True)


def _key(config: Any, corpus: world.Corpus) -> str:
    """A digest of the corpus, the config, the seed, the libraries and the source files that the model depends on."""
    settings = {"seed": config.seed, "world": config.world.to_dict()}
    versions = {name: __import__(name).__version__ for name in ("jax", "flax", "optax", "tokenizers", "numpy")}
    digest = hashlib.sha256(json.dumps([settings, versions, jax.default_backend()], sort_keys=True).encode())
    digest.update(repr(corpus).encode())
    sources = [PACKAGE / "programs.py", PACKAGE / "batching.py", Path(__file__)]
    for folder in ("models", "ops"):
        sources += sorted((PACKAGE / folder).rglob("*.py"))
    for source in sources:
        digest.update(source.read_bytes())
    return digest.hexdigest()[:16]


def _write_tokenizer(directory: Path, corpus: world.Corpus, vocab_size: int) -> None:
    tokenizer = Tokenizer(models.BPE())
    # A word is spelt alike at the start of an answer and inside a sentence: every text gets a leading blank.
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=True)  # type: ignore[assignment]
    tokenizer.decoder = decoders.ByteLevel()  # type: ignore[assignment]
    special = [BEGIN, END, SYSTEM, USER, ASSISTANT]
    trainer = trainers.BpeTrainer(
        vocab_size=vocab_size,
        special_tokens=special,
        initial_alphabet=pre_tokenizers.ByteLevel.alphabet(),
        show_progress=False,
    )
    examples = [e for part in corpus.dialogues.values() for e in part]
    texts = [*corpus.documents, *(e.prompt for e in examples), *(e.response for e in examples)]
    tokenizer.train_from_iterator(texts, trainer)
    tokenizer.save(str(directory / "tokenizer.json"))
    fields = {
        "tokenizer_class": "PreTrainedTokenizerFast",
        "bos_token": BEGIN,
        "eos_token": END,
        "clean_up_tokenization_spaces": False,
    }
    files.write_json(directory / "tokenizer_config.json", fields)
    (directory / "chat_template.jinja").write_text(TEMPLATE, encoding="utf-8")


def _write_config(directory: Path, settings: Any) -> None:
    fields = {
        "architectures": ["LlamaForCausalLM"],
        "model_type": "llama",
        "vocab_size": settings.vocab_size,
        "hidden_size": settings.width,
        "num_hidden_layers": settings.layers,
        "num_attention_heads": settings.heads,
        "num_key_value_heads": settings.heads,
        "head_dim": settings.width // settings.heads,
        "intermediate_size": settings.mlp_width,
        "hidden_act": "silu",
        "rms_norm_eps": 1e-5,
        "rope_parameters": {"rope_type": "default", "rope_theta": 10000.0},
        "max_position_embeddings": 512,
        "tie_word_embeddings": True,
        "attention_bias": False,
        "mlp_bias": False,
        "bos_token_id": 0,
        "eos_token_id": 1,
        "dtype": "float32",
    }
    files.write_json(directory / "config.json", fields)
    files.write_json(directory / "generation_config.json", {"bos_token_id": 0, "eos_token_id": 1})


def _pretraining_rows(run: Run, tokenizer: Any, corpus: world.Corpus, eos_ids: Sequence[int]) -> Packed:
    """Rows for every step, mixed by config.world.mixture (shares of the tokens), packed with segment masks."""
    settings = run.config.world
    parts = {}
    if corpus.documents:
        documents = chat.encode_raw(tokenizer, corpus.documents)
        parts["document"] = [([*ids, eos_ids[0]], [1.0] * (len(ids) + 1)) for ids in documents]
    for name, examples in corpus.dialogues.items():
        parts[name] = _supervised(tokenizer, examples, eos_ids)
    rows_needed = settings.steps * settings.rows
    budget = rows_needed * settings.length
    drawn: list[tuple[list[int], list[float]]] = []
    for stream, (name, share) in enumerate(sorted(settings.mixture.items())):
        drawn += _draw(parts[name], share * budget, run.config.seed, stream)
    order = np.random.default_rng([run.config.seed, len(settings.mixture)]).permutation(len(drawn))
    packed = batching.pack([drawn[i] for i in order], settings.length, share_rows=True)
    rows = np.arange(rows_needed) % len(packed.tokens_BT)  # packing leaves gaps or spills; both ends are harmless
    return batching.take(packed, rows)


def _supervised(
    tokenizer: Any, examples: Sequence[SftExample], eos_ids: Sequence[int]
) -> list[tuple[list[int], list[float]]]:
    pairs = chat.encode_examples(tokenizer, [e.prompt for e in examples], [e.response for e in examples], eos_ids)
    return [([*p, *r], [0.0] * len(p) + [1.0] * len(r)) for p, r in pairs]


def _draw(
    sequences: list[tuple[list[int], list[float]]], tokens: float, seed: int, stream: int
) -> Iterator[tuple[list[int], list[float]]]:
    """Sequences in shuffled epochs until that many tokens have been drawn."""
    drawn = epoch = 0
    while drawn < tokens:
        for row in np.random.default_rng([seed, stream, epoch]).permutation(len(sequences)):
            if drawn >= tokens:
                return
            drawn += len(sequences[row][0])
            yield sequences[row]
        epoch += 1


def make_optimizer(
    model: Model, *, beta: float, b1: float, b2: float, eps: float, adam_share: float, weight_decay: float
) -> optax.GradientTransformation:
    """Muon on the layers' kernels, each as one matrix from its inputs to its outputs, and AdamW on all else.

    Without the learning rate, like programs.optimizer; AdamW takes adam_share of it. beta: Muon's momentum. Its steps
    have an RMS of 0.2, like Adam's (https://arxiv.org/abs/2502.16982, section 2.2). On this world it takes two thirds
    of AdamW's steps to the same loss.
    """
    matrices: dict[str, dict[str, Any]] = {group: dict.fromkeys(found) for group, found in model.axes["layers"].items()}
    for kernel in lora.kernels(model):
        axes = range(1, len(kernel.shape))
        matrix = MuonDimensionNumbers(tuple(axes[: kernel.inputs]), tuple(axes[kernel.inputs :]))
        matrices[kernel.group][kernel.name + lora.KERNEL] = matrix
    numbers = {**dict.fromkeys(model.axes), "layers": matrices}
    return muon(
        learning_rate=-1.0,  # make_update subtracts what comes out
        beta=beta,
        eps=eps,
        weight_decay=weight_decay,
        consistent_rms=0.2,
        adam_b1=b1,
        adam_b2=b2,
        adam_weight_decay=weight_decay,
        adam_learning_rate=-adam_share,
        # optax.tree.map_params asks with a placeholder in the place of the parameters.
        muon_weight_dimension_numbers=lambda params: numbers if isinstance(params, dict) else None,
    )


def _train(run: Run, model: Model, packed: Packed) -> Params:
    settings = run.config.world
    key = jax.random.key(run.config.seed)
    optimizer = make_optimizer(model, **settings.optimizer)
    schedule = programs.schedule(**settings.schedule, steps=settings.steps)
    params = programs.init_params(model, run.mesh, key)
    state = programs.init_state(model, run.mesh, optimizer, params, key)
    loss = programs.packed_loss(model, sft.make(), chunk=None, dtype=run.compute_dtype)
    update = programs.make_update(model, run.mesh, optimizer, loss, microbatches=1)
    with (
        telemetry.Progress("pretraining", settings.steps) as bar,
        run.log("pretraining") as log,
    ):
        pending = None
        for step in range(settings.steps):
            preemption.stop()
            rows = np.arange(step * settings.rows, (step + 1) * settings.rows)
            batch = sharding.put_rows(batching.take(packed, rows), run.mesh)
            learning_rate = schedule(step)
            state, metrics = update(state, (), batch, learning_rate, {})
            if pending is not None:  # the step before: its numbers are read while this one computes
                _report(log, bar, *pending)
            pending = (step + 1, learning_rate, metrics)
        _report(log, bar, *pending)  # type: ignore[misc]
    return state.params


def _report(
    log: telemetry.MetricsFile, bar: telemetry.Progress, step: int, learning_rate: float, metrics: dict[str, jax.Array]
) -> None:
    values = {name: float(value) for name, value in metrics.items()}
    log.write(step, {**values, "lr": float(learning_rate)})
    bar.advance({"loss": values["loss"]})
