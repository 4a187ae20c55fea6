"""stages._answering: a question gets the answer it has alone, whoever shares its batch; what does not fit is told."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from ml_collections import ConfigDict

from rule_jax import batching
from rule_jax.models.tuning import full
from rule_jax.sampling import generate
from rule_jax.stages import Run, Subject
from rule_jax.stages._answering import Answerer
from rule_jax.stages._lengths import TooLong
from rule_jax.text import chat
from rule_jax.types import PromptRecord, Task
from tests.stages import letters

POSITIONS, NEW = 96, 6


@pytest.fixture(scope="module")
def tokenizer():
    return letters.tokenizer()


@pytest.fixture
def answerer(tiny, tokenizer, one_device, tmp_path):
    """answerer(batch, too_long) -> (Answerer, its parameters)."""

    def make(batch=8, too_long="drop"):
        model, params = tiny(layers=1, max_positions=POSITIONS)
        settings = {"compute_dtype": "float32", "system_prompt": ""}
        config = ConfigDict(
            {"seed": 0, "model": settings, "evaluate": {"batch": batch}, "data": {"too_long": too_long}}
        )
        examined = Subject(path=tmp_path, model=model, tuning=full(model), tokenizer=tokenizer, eos_ids=(letters.EOS,))
        return Answerer(Run(config, tmp_path, tmp_path, one_device), examined), params

    return make


def task(name, *lengths, **how):
    rng = np.random.default_rng(sum(lengths))
    words = ["".join(letters.LETTERS[i] for i in rng.integers(26, size=length)) for length in lengths]
    return Task(name, tuple(PromptRecord(w, "forget") for w in words), lambda r, t: {}, max_new_tokens=NEW, **how)


def alone(tiny, tokenizer, prompt):
    model, params = tiny(layers=1, max_positions=POSITIONS)
    ids = tokenizer(prompt)["input_ids"]
    rollout = generate(
        model,
        params,
        batching.pad_prompts([ids], POSITIONS - NEW),  # one program for all of them
        jax.random.key(0),
        jnp.zeros(1, jnp.int32),
        jnp.float32(0),
        samples=1,
        max_new_tokens=NEW,
        eos_ids=(letters.EOS,),
    )
    return chat.decode(tokenizer, [np.asarray(rollout.response_BGR[0, 0, : rollout.length_BG[0, 0]])])[0]


def test_an_answer_is_that_of_the_question_alone(answerer, tiny, tokenizer):
    answers, params = answerer()
    asked = [task("chat", *range(3, 83, 4)), task("raw", 5, 40, 9, render="raw")]
    texts = answers(params, asked, "x")
    for one, end in zip(asked, ("?", "")):
        for record, (text,) in zip(one.records, texts[one.name]):
            assert text == alone(tiny, tokenizer, record.prompt + end).strip()
    assert len({text for (text,) in texts["chat"]}) > 10  # the tiny model says something about each
    assert answers.too_long == {}


def test_what_leaves_no_room_for_an_answer_is_left_out_and_told(answerer):
    answers, params = answerer()
    fits = POSITIONS - NEW - len("?")
    texts = answers(params, [task("some", 8, fits, fits + 1, 200), task("short", 8)], "x")
    assert [len(samples) for samples in texts["some"]] == [1, 1, 0, 0]
    assert answers.too_long == {"some": TooLong(left_out=2, cut=0, of=4, limit=POSITIONS - NEW)}


def test_where_prompts_are_cut_that_is_told_too(answerer):
    answers, params = answerer(too_long="cut")
    long = PromptRecord(f"{'x' * 90} who", "forget")
    texts = answers(params, [Task("some", (long,), lambda r, t: {}, max_new_tokens=NEW)], "x")
    assert len(texts["some"][0]) == 1
    assert answers.too_long == {"some": TooLong(left_out=0, cut=1, of=1, limit=POSITIONS - NEW)}


def test_prompts_of_one_padded_length_stand_by_task(answerer):
    """Lengths that interleave, within one bucket, and batches that hold one task each."""
    answers, _ = answerer(batch=8)
    asked = [task("one", *range(2, 10)), task("other", *range(3, 11))]
    batches = list(answers._batches(asked, {"one": [[]] * 8, "other": [[]] * 8}, ""))
    assert [rows for rows, _ in batches] == [8, 8]
    assert [{request.task.name for request in batch} for _, batch in batches] == [{"one"}, {"other"}]
    assert [len(request.ids) for request in batches[0][1]] == sorted(len(request.ids) for request in batches[0][1])
