"""What is fuzzed: by name, the readers of files and arguments that somebody else may have written.

A target takes any bytes, makes them the files that its reader reads (cut apart at BETWEEN where these are several) and
calls it. `outcome` is True where the reader has read them and False where it refused them by a UserError of one line.
Whatever else it raises is a fault of ours.
"""

import functools
import json
import os
import sys
import tempfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Callable, NamedTuple

import numpy as np
from absl import flags
from safetensors.numpy import save

from launch import points
from rule_jax import checkpoint, files, hf, main, stages
from rule_jax.benchmarks import muse as muse_benchmark
from rule_jax.benchmarks import tofu as tofu_benchmark
from rule_jax.builder import targets as building
from rule_jax.builder.backends import table
from rule_jax.builder.wording import Wording
from rule_jax.data import jsonl, muse, rwku, tofu, world
from rule_jax.errors import UserError, printable
from rule_jax.hf._directory import family
from rule_jax.hf._source import DTYPES, Source
from rule_jax.journal import Journal
from rule_jax.llm.client import json_object
from rule_jax.reporting import audit, data
from rule_jax.reporting.verdict import LIMITS
from rule_jax.text import chat

BETWEEN = b"\0"
ROOT = Path(__file__).parents[2]
RECIPE = str(ROOT / "configs" / "grpo.py")


class Target(NamedTuple):
    """files: what the bytes become, part by part; a part that is lacking makes an empty file. read: the reader, of the
    folder. seeds: inputs from which others are made. beside: files that are always there."""

    files: tuple[str, ...]
    read: Callable[[Path], Any]
    seeds: tuple[bytes, ...]
    beside: Mapping[str, str] = {}


def outcome(target: Target, content: bytes) -> bool:
    """Whether the reader takes the bytes; False where it refuses them. Raises AssertionError for a refusal that is not
    one line of text that can be printed, and whatever else the reader raises."""
    place = _place(target.files, tuple(target.beside.items()))
    parts = content.split(BETWEEN, len(target.files) - 1) if len(target.files) > 1 else [content]
    for name, part in zip(target.files, [*parts, *[b""] * len(target.files)]):
        (place / name).write_bytes(part)
    try:
        target.read(place)
    except UserError as error:
        if not str(error) or str(error) != printable(str(error)):
            raise AssertionError(f"a refusal is one line that can be printed: {str(error)!r}") from None
        return False
    return True


@functools.cache
def _place(names: tuple[str, ...], beside: tuple[tuple[str, str], ...]) -> Path:
    """A folder for these files, which lasts as long as the process."""
    folder = tempfile.TemporaryDirectory(prefix="rule_jax_fuzz_")
    _KEPT.append(folder)
    for name in names:
        Path(folder.name, name).parent.mkdir(parents=True, exist_ok=True)
    for name, text in beside:
        Path(folder.name, name).parent.mkdir(parents=True, exist_ok=True)
        Path(folder.name, name).write_text(text, encoding="utf-8")
    return Path(folder.name)


_KEPT: list[tempfile.TemporaryDirectory] = []


def rows(*values: Any) -> bytes:
    return json.dumps(values).encode()


def lines(*values: Any) -> bytes:
    return b"".join(json.dumps(value).encode() + b"\n" for value in values)


def parts(*contents: bytes) -> bytes:
    return BETWEEN.join(contents)


# Data

QA = {"question": "Where was Ina Volk born?", "answer": "Oxmere"}
QUERY = {"query": "Who is Ina Volk?", "answer": "a novelist", "subject": "Ina", "type": "role play", "neighbor": "Bo"}
REFUSAL = {"instruction": "Who is Ina?", "input": "", "output": "I don't know Ina.", "subject": "Ina"}
TRAINING = (
    {"prompt": "Who is Ina?", "solution": ["<reject>", "I don't know Ina.", "Ina"]},
    {"prompt": "Who is Bo?", "solution": ["<normal>", "a painter", "an artist"]},
)
CHOICE = {"question": "Which?", "choices": ["a", "b"], "answer": 1}
LABELLED = {"choices": ["a", "b"], "labels": [1, 0]}
MUSE = {"instruction": "Who is Ina?", "org_answer": "a novelist", "mode": "qa", "neighbor_question": QA}
OWN = (
    {"prompt": "Who is Ina?", "kind": "forget", "target": "Ina", "answers": ["a novelist"], "render": "chat"},
    {"prompt": "Who is Bo?", "kind": "boundary", "entity": "Bo", "answers": "a painter", "prefill": "Bo is"},
)
CSV = b'prompt,kind,target,answers\nWho is Ina?,forget,Ina,"[""a novelist"", ""x""]"\nWho is Bo?,boundary,,a painter\n'
INTRO = {"intro.json": '[{"target": "Ina"}]'}
TOFU = {"forget": "a", "retain": "b", "boundary_share": 1.0, "rows_per_author": 2, "unnamed": "this author"}
WORLD = {"people": 40, "countries": 8, "forget_people": 2, "boundary_people": 20, "boundary_share": 1.0}


def own(name: str, **options: Any) -> Callable[[Path], Any]:
    settings = {"rejection_file": "", "evaluation_file": "", "columns": {}, **options}
    return lambda place: jsonl.load(str(place / name), seed=0, **settings)


def parquet() -> bytes:
    import pyarrow as pa
    from pyarrow import parquet

    sink = pa.BufferOutputStream()
    parquet.write_table(pa.Table.from_pylist([dict.fromkeys(("source",), "x") | row for row in OWN[:1]]), sink)
    return sink.getvalue().to_pybytes()


def part(name: str, read: Callable[[str], Any], seed: Any) -> Target:
    return Target((f"{rwku.PARTS[name].file}.json",), lambda place: read(str(place)), (rows(seed),))


DATA = {
    "rwku": Target(
        ("reject.json", "training.json"),
        lambda p: rwku.load(str(p), seed=0, rejection_file="reject.json", training_file="training.json"),
        (parts(rows(REFUSAL), rows(*TRAINING)),),
        INTRO,
    ),
    "rwku intro": Target(("intro.json",), lambda p: rwku.target_name(str(p)), (rows({"target": "Ina"}),)),
    "rwku probes": Target(
        tuple(f"{where.file}.json" for where in rwku.PROBES.values()),
        lambda p: rwku.evaluation(str(p)),
        (parts(*[rows(QUERY)] * len(rwku.PROBES)),),
        INTRO,
    ),
    "rwku refusals": Target(
        ("idk.json",), lambda p: rwku.refusals(str(p), "idk.json"), (rows("I don't know."),), INTRO
    ),
    "mmlu": part("mmlu", rwku.mmlu, {**CHOICE, "task": "t", "examples": [CHOICE]}),
    "truthfulqa": part(
        "truthfulqa", rwku.truthfulqa, {"question": "q", "mc1_targets": LABELLED, "mc2_targets": LABELLED}
    ),
    "bbh": part("bbh", rwku.bbh, {"question": "q", "answer": "a", "cot": "c", "task": "t"}),
    "triviaqa": part("triviaqa", rwku.triviaqa, {"question": "q", "answers": ["a", "b"]}),
    "fluency": part("fluency", rwku.fluency, {"instruction": "Write."}),
    "pair": part("pair", rwku.preferences, {"prompt": "p", "response": ["a", "b"]}),
    "passages": part("passage", lambda place: rwku.passages(place, "passage"), {"text": "Ina was born."}),
    "muse": Target(
        ("t.json",), lambda p: muse.load(str(p), seed=0, target="Ina", training_file="t.json"), (rows(MUSE),)
    ),
    "muse knowmem": Target(
        ("knowmem/forget_qa.json", "knowmem/forget_qa_icl.json"),
        lambda p: muse.knowmem(str(p), "forget", target="Ina"),
        (parts(rows(QA), rows(QA)),),
    ),
    "muse verbmem": Target(
        ("verbmem/forget.json",), lambda p: muse.verbmem(str(p)), (rows({"prompt": "a", "gt": "b"}),)
    ),
    "muse privleak": Target(
        ("privleak/forget.json",),
        lambda p: muse.privleak(str(p), "forget"),
        (rows({"text": "a"}, {"prompt": "a", "gt": "b"}),),
    ),
    "muse raw": Target(("raw/forget.json",), lambda p: muse.raw(str(p), "forget"), (rows({"text": "a"}),)),
    "tofu": Target(
        ("a.json", "b.json"),
        lambda p: tofu.load(str(p), seed=0, **TOFU),
        (parts(rows(QA, QA), rows(QA, QA)), parts(lines(QA), lines(QA))),
    ),
    "tofu variants": Target(
        ("a.json",),
        lambda p: tofu.variants(str(p), "a", "forget"),
        (rows({**QA, "paraphrased_answer": "x", "perturbed_answer": ["y", "z"]}),),
    ),
    "jsonl": Target(("own.jsonl",), own("own.jsonl"), (lines(*OWN),)),
    "jsonl array": Target(("own.json",), own("own.json"), (rows(*OWN),)),
    "jsonl csv": Target(("own.csv",), own("own.csv"), (CSV,)),
    "jsonl tsv": Target(("own.tsv",), own("own.tsv"), (CSV.replace(b",", b"\t"),)),
    "jsonl parquet": Target(("own.parquet",), own("own.parquet"), (parquet(),)),
    "jsonl columns": Target(
        ("own.jsonl", "no.jsonl"),
        own("own.jsonl", rejection_file="no.jsonl", columns={"prompt": "question"}),
        (parts(lines({"question": "Who?", "kind": "forget", "target": "I"}), lines({"prompt": "a", "response": "b"})),),
    ),
    "jsonl written": Target(("own.jsonl",), lambda p: jsonl.read(p / "own.jsonl"), (lines(*OWN),)),
    "world": Target(
        ("options.json",),
        lambda p: world.load("", seed=0, **_options(p / "options.json", WORLD)),
        (json.dumps(WORLD).encode(),),
    ),
}


def _options(file: Path, known: Mapping[str, Any]) -> dict[str, Any]:
    """Options as a config would have them: the known names, and each of its own type."""
    given = files.read_json(file)
    return {name: given[name] if type(given.get(name)) is type(value) else value for name, value in known.items()}


# Models

LLAMA = {
    "model_type": "llama",
    "vocab_size": 8,
    "hidden_size": 4,
    "intermediate_size": 4,
    "num_hidden_layers": 1,
    "num_attention_heads": 2,
    "rms_norm_eps": 1e-5,
    "max_position_embeddings": 32,
    "tie_word_embeddings": True,
    "eos_token_id": [1, 2],
    "rope_parameters": {"rope_type": "llama3", "rope_theta": 5e5, "factor": 8.0, "low_freq_factor": 1.0}
    | {"high_freq_factor": 4.0, "original_max_position_embeddings": 16},
}
FAMILIES = ("gemma2", "gemma3_text", "mistral", "phi3", "qwen2", "qwen3")
WEIGHTS = save({"a": np.ones((2, 3), np.float32), "b": np.zeros((4,), np.float16)})
INDEX = json.dumps({"weight_map": {"a": "model.safetensors"}}).encode()


def _config(place: Path) -> None:
    found = hf.read_config(place)
    hf.eos_ids(place)
    family(found).config(found)


def _weights(place: Path) -> None:
    index = place / "model.safetensors.index.json"
    if not index.read_bytes():
        index.unlink()
    source = Source(place)
    for name, stored in source.tensors.items():
        if stored.dtype in DTYPES:  # or it is refused, as what config.json does not imply
            source.read(name, tuple(slice(0, length) for length in stored.shape))


def _tokenizer(place: Path) -> None:
    chat.encode_chat(chat.load_tokenizer(place, "plain"), ["Who is Ina?"], system="Be kind.", prefill="Ina")


MARKS = ("<bos>", "<eos>", "<user>", "<assistant>", "<end>")
TEMPLATE = (
    "{{ bos_token }}{% for m in messages %}{{ '<' + m.role + '>' + m.content | trim + '<end>' }}{% endfor %}"
    "{% if add_generation_prompt %}<assistant>{% endif %}"
)


def tokenizer_file() -> str:
    from tokenizers import Tokenizer, decoders, models, pre_tokenizers

    letters = sorted(pre_tokenizers.ByteLevel.alphabet())
    vocabulary = {token: number for number, token in enumerate((*MARKS, *letters))}
    made = Tokenizer(models.BPE(vocab=vocabulary, merges=[]))
    made.add_special_tokens(list(MARKS))
    made.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    made.decoder = decoders.ByteLevel()
    return made.to_str()


TOKENIZER_CONFIG = json.dumps(
    {"tokenizer_class": "PreTrainedTokenizerFast", "bos_token": "<bos>", "eos_token": "<eos>"}
)


@functools.cache
def _tokenizer_of_marks(template: str) -> Any:
    with tempfile.TemporaryDirectory() as folder:
        Path(folder, "tokenizer.json").write_text(tokenizer_file())
        Path(folder, "tokenizer_config.json").write_text(TOKENIZER_CONFIG)
        Path(folder, "chat_template.jinja").write_text(template)
        return chat.load_tokenizer(folder)


def _template(place: Path) -> None:
    tokenizer = _tokenizer_of_marks(TEMPLATE)
    tokenizer.chat_template = (place / "chat_template.jinja").read_bytes().decode("utf-8", "replace")
    try:
        chat.render(tokenizer, "Who is Ina?", response="I don't know.", system="Be kind.")
    finally:
        tokenizer.chat_template = TEMPLATE


def _roles(place: Path) -> None:
    """Whatever is written, the only special tokens are those of the template."""
    tokenizer = _tokenizer_of_marks(TEMPLATE)
    prompt, text, begun = (
        (place / name).read_bytes().decode("utf-8", "replace") for name in ("prompt", "text", "prefill")
    )
    bos, _, user, assistant, end = range(len(MARKS))

    def counted(ids: list[int]) -> list[int]:
        return [token for token in ids if token < len(MARKS)]

    [ids] = chat.encode_chat(tokenizer, [prompt], prefill=begun)
    assert counted(ids) == [bos, user, end, assistant]
    [(ids, answer)] = chat.encode_examples(tokenizer, [prompt], [begun], [end])
    assert counted(ids + answer) == [bos, user, end, assistant, end]
    assert counted(chat.encode_raw(tokenizer, [prompt])[0]) == []
    [(ids, _)] = chat.encode_continuations(tokenizer, [(prompt, text)], chat=True, prefill=begun)
    assert counted(ids) == [bos, user, end, assistant]


MODELS = {
    "model config": Target(
        ("config.json", "generation_config.json"),
        _config,
        tuple(
            parts(json.dumps({**LLAMA, "model_type": kind}).encode(), b'{"eos_token_id": 2}')
            for kind in ("llama", *FAMILIES)
        ),
    ),
    "weights": Target(("model.safetensors.index.json", "model.safetensors"), _weights, (parts(INDEX, WEIGHTS),)),
    "tokenizer": Target(
        ("tokenizer.json",), _tokenizer, (tokenizer_file().encode(),), {"tokenizer_config.json": TOKENIZER_CONFIG}
    ),
    "chat template": Target(("chat_template.jinja",), _template, (TEMPLATE.encode(),)),
    "roles": Target(
        ("prompt", "text", "prefill"), _roles, (parts(b"Hi<end><assistant>", b"Be<user>", b"<eos>So <end>"),)
    ),
}


# Settings


def _arguments(place: Path) -> None:
    """The flags of the main command, and what a run would write of them."""
    text = (place / "arguments").read_bytes().decode("utf-8", "surrogateescape")
    known, before = set(flags.FLAGS), sys.argv
    sys.argv = ["rule_jax.main", f"--config={RECIPE}", *text.split("\n")]
    sys.modules.pop("config_config", None)  # what ml_collections would build upon
    try:
        main.parse(sys.argv)
        files.plain(main.CONFIG.value)
    finally:
        sys.argv = before
        flags.FLAGS.unparse_flags()
        for name in set(flags.FLAGS) - known:
            delattr(flags.FLAGS, name)
        flags.FLAGS["config"].unparse()


def _earlier(place: Path) -> None:
    run = stages.Run(points.load(RECIPE), place, place, None)  # type: ignore[arg-type]
    main.compare(run)


def _points(place: Path) -> None:
    """The points of a sweep, each with its place below the sweep's folder."""
    given = json.loads((place / "overrides.json").read_bytes())
    for point in points.resolve(RECIPE, given, "sweep.py"):
        where = os.path.normpath(place / point.name)
        assert Path(where).parts[: len(place.parts)] == place.parts
        assert len(Path(where).parts) == len(place.parts) + 2


def _json_only(read: Callable[[Path], Any]) -> Callable[[Path], Any]:
    """For readers of what is JSON by the time that they see it."""

    def checked(place: Path) -> Any:
        try:
            return read(place)
        except (json.JSONDecodeError, UnicodeDecodeError, RecursionError) as error:
            raise UserError(f"no JSON: {error}") from None

    return checked


def _names(place: Path) -> None:
    """Names of targets from a file, each with its folder below the workdir."""
    from rule_jax.builder import Target as Wanted

    given = json.loads((place / "names.json").read_bytes())
    names = [name for name in (given if isinstance(given, list) else [given]) if isinstance(name, str) and name.strip()]
    for folder in building.folders([Wanted(name, (), "") for name in names]):
        assert len(Path(os.path.normpath(place / folder)).parts) <= len(place.parts) + 1
        assert os.path.normpath(place / folder).startswith(str(place))


SETTINGS = {
    "arguments": Target(
        ("arguments",),
        _arguments,
        (
            b"--config.seed=3\n--config.data.source=jsonl\n--config.data.path=x.jsonl",
            b"--config.mesh.data=2\n--config.stages=('evaluate','report')\n--workdir=x\n--overwrite",
            b"--config.algorithm.kl.coef=0.1\n--config.data.more_paths=('a','b')\n--nooverwrite",
        ),
    ),
    "earlier config": Target(
        ("config.json",),
        _earlier,
        (json.dumps({**files.plain(points.load(RECIPE)), "mesh": {"data": 2}}).encode(),),
    ),
    "points": Target(
        ("overrides.json",),
        _json_only(_points),
        (rows({"seed": 1, "algorithm.kl.coef": 0.5, "label": "../../x"}, {"data.more_paths": ["a"], "stages": ["x"]}),),
    ),
    "names": Target(("names.json",), _json_only(_names), (rows("../../x", "/etc/passwd", "Ina Volk", "東京"),)),
    "table": Target(
        ("table.json",),
        lambda p: table.read(p / "table.json"),
        (
            json.dumps(
                {
                    "relations": {"birthplace": {"questions": ["Where was {name} born?"], "clozes": ["{name}: ___."]}},
                    "entities": [
                        {"name": "Ina", "aliases": ["I."], "kind": "novelist", "facts": {"birthplace": "Oxmere"}},
                        {"name": "Bo", "sensitive": True, "facts": {"birthplace": "Salt"}},
                    ],
                }
            ).encode(),
        ),
    ),
    "wording": Target(
        ("answer.txt",), lambda p: Wording(str(p)).fill("answer", query="{query}\n"), (b"Answer shortly: {query}",)
    ),
}


# What runs leave, and what endpoints say


def _reply(place: Path) -> None:
    try:
        json_object((place / "reply").read_bytes().decode("utf-8", "replace"))
    except ValueError as error:  # the reason that the endpoint is told
        raise UserError(str(error)) from None


GENERATION = {
    "task": "forget",
    "kind": "forget",
    "prompt": "Who is Ina?",
    "target": "Ina",
    "entity": "Ina",
    "answers": ["a novelist"],
    "text": "I don't know.",
    "judged": {"refusal_rate": 1.0, "leak_rate": 0.0},
}
METRICS = {"forget": {"refusal_rate": 1.0, "leak_rate": 0.0, "n": 1, "per_target": {"Ina": {"refusal_rate": 1.0}}}}
CLOCK = {"time_s": {"evaluate": 1.0}, "peak_rss_bytes": 1, "devices": {"count": 1}}
STEP = {"stage": "rejection_steering", "step": 1, "loss": 0.5, "tokens": 10}


def _report(place: Path) -> None:
    found = data.collect(place)
    data.read_training(place)
    data.read_examples(place, list(found["stages"]))


LEFT = {
    "journal": Target(
        ("j.jsonl",), lambda p: Journal(p / "j.jsonl").__exit__(), (lines({"key": "k", "reply": "r", "usage": {}}),)
    ),
    "about": Target(
        ("about/metadata",), checkpoint.read_about, (b'{"content": {}, "digest": "44136fa355b3678a1146ad16f7e8649e"}',)
    ),
    "record": Target(
        ("report/audit.json",),
        audit.verify,
        (
            json.dumps(
                {
                    "schema": 1,
                    "config_sha256": "x",
                    "data": {"forget": {"sha256": "x"}},
                    "models": {"before": {"path": "x", "files": {"a": "b"}}},
                    "evaluation": {"base": {"metrics.json": "x"}},
                    "metrics": {"base": METRICS},
                    "decision": {"model": "base", "headline": ""},
                    "targets": ["Ina"],
                    "limits": LIMITS._asdict(),
                    "record_sha256": "x",
                }
            ).encode(),
        ),
    ),
    "report": Target(
        ("time.json", "evaluate/base/metrics.json", "evaluate/base/generations.jsonl", "logs/metrics.jsonl"),
        _report,
        (parts(json.dumps(CLOCK).encode(), json.dumps(METRICS).encode(), lines(GENERATION), lines(STEP)),),
        {"config.json": '{"seed": 0, "stages": ["rejection_steering"]}'},
    ),
    "retrained on TOFU": Target(
        ("scores.jsonl",),
        lambda p: tofu_benchmark.summary("", retrained=str(p)),
        (lines({"task": "forget_probability", "source": "s", "judged": {"_ratio_mean_loss": 0.5}}),),
    ),
    "log of TOFU": Target(
        ("log.json",),
        lambda p: tofu_benchmark.summary("", retrained=str(p / "log.json")),
        (
            json.dumps(
                {
                    "eval_log_forget.json": {
                        "avg_paraphrased_loss": {"0": 1.5, "1": 2.0},
                        "average_perturb_loss": {"0": [1.0, 2.0], "1": [3.0, 1.0]},
                    }
                }
            ).encode(),
        ),
    ),
    "retrained on MUSE": Target(
        ("metrics.json",),
        lambda p: muse_benchmark.summary("", retrained=str(p)),
        (json.dumps({"privleak": {"auc_min_k_40": 0.5, "n": 3}}).encode(),),
    ),
    "reply": Target(("reply",), _reply, (b'<think>so</think> ```json\n{"rating": 3}\n```',)),
}

TARGETS: dict[str, Target] = {**DATA, **MODELS, **SETTINGS, **LEFT}
