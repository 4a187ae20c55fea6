"""stages._likelihood: packed scores are those of each text alone, whatever shares its row, on any mesh."""

import jax.numpy as jnp
import numpy as np
import pytest
from ml_collections import ConfigDict

from rule_jax.models.tuning import full
from rule_jax.stages import Run, Subject
from rule_jax.stages._lengths import TooLong
from rule_jax.stages._likelihood import Padding, Scorer, _Text, _Tree, _trees
from rule_jax.types import Continuations, ScoringTask
from tests.stages import letters
from tests.stages.letters import EOS, LETTERS


@pytest.fixture(scope="module")
def tokenizer():
    return letters.tokenizer()


@pytest.fixture
def scorer(tiny, tokenizer, one_device, tmp_path):
    """scorer(mesh, score_tokens) -> (Scorer, its parameters)."""

    def make(mesh=one_device, score_tokens=2048):
        model, params = tiny(layers=1, max_positions=1024)
        settings = {"compute_dtype": "float32", "logit_chunk": 0, "system_prompt": ""}
        config = ConfigDict({"model": settings, "evaluate": {"score_tokens": score_tokens}})
        examined = Subject(path=tmp_path, model=model, tuning=full(model), tokenizer=tokenizer, eos_ids=(EOS,))
        return Scorer(Run(config, tmp_path, tmp_path, mesh), examined), params

    return make


def words(rng, count):
    return "".join(LETTERS[i] for i in rng.integers(26, size=count))


def passages(*lengths):
    rng = np.random.default_rng(sum(lengths))
    return tuple(Continuations("", (words(rng, length),)) for length in lengths)


def alone(tiny, tokenizer, text, start):
    """(logprob, mean, deviation, right) of tokens start, start + 1, ... of a text that has the model to itself."""
    model, params = tiny(layers=1, max_positions=1024)
    ids = np.asarray(tokenizer(text)["input_ids"] if isinstance(text, str) else text)
    logits = np.asarray(model.logits(params, jnp.asarray(ids)[None, :-1]), np.float64)[0, start - 1 :]
    logp = logits - np.log(np.exp(logits).sum(-1, keepdims=True))
    own = np.take_along_axis(logp, ids[start:, None], -1)[:, 0]
    mean = (np.exp(logp) * logp).sum(-1)
    return own, mean, np.sqrt((np.exp(logp) * logp**2).sum(-1) - mean**2), logp.argmax(-1) == ids[start:]


def same(found, expected):
    for one, other in zip(found, expected):
        np.testing.assert_allclose(one, other, rtol=2e-4, atol=2e-4)


def judge(query, scores):
    return {}


@pytest.mark.parametrize("mesh", ["mesh8", "one_device"])
def test_passages_of_all_lengths(scorer, tiny, tokenizer, request, mesh):
    score, params = scorer(request.getfixturevalue(mesh))
    task = ScoringTask("texts", passages(2, 30, 200, 300, 299, 12, 5, 5), judge)
    found = score(params, [task], "x")["texts"]
    for query, (scores,) in zip(task.queries, found):
        same(scores, alone(tiny, tokenizer, query.texts[0], 1))
        assert len(scores.right_N) == len(query.texts[0]) - 1


def test_choices_follow_their_prompt_and_share_what_they_share(scorer, tiny, tokenizer):
    score, params = scorer()
    letters = tuple(" " + letter for letter in "abcdef")  # one token apart: more than are asked for at one place
    queries = (
        Continuations("which", letters, (1,)),
        Continuations("who wrote it", ("it was me", "not me.", "it was me")),
    )
    task = ScoringTask("choices", queries, judge)
    found = score(params, [task], "x")["choices"]
    for query, scores in zip(queries, found):
        assert len(scores) == len(query.texts)
        for text, one in zip(query.texts, scores):
            same(one, alone(tiny, tokenizer, query.prompt + text, len(query.prompt)))
    fed = 2 * len("which ") + sum(len("who wrote it" + text) - 1 for text in queries[1].texts[:2])
    assert score.padding.used == fed


def test_what_texts_begin_with_alike_is_computed_once(scorer, tiny, tokenizer):
    """Two questions behind the same example, with answers of which one is another's beginning, and a text beside."""
    score, params = scorer()
    rng = np.random.default_rng(5)
    example, answers = words(rng, 60), (" a b c", " a b", " a b cd", " z", " zz top")
    queries = tuple(Continuations(f"{example} {question}?", answers) for question in ("who was it", "when was it"))
    task, other = ScoringTask("choices", queries, judge), ScoringTask("texts", passages(50), judge)
    found = score(params, [task, other], "x")
    for query, scores in zip(queries, found["choices"]):
        for text, one in zip(query.texts, scores):
            same(one, alone(tiny, tokenizer, query.prompt + text, len(query.prompt)))
    same(found["texts"][0][0], alone(tiny, tokenizer, other.queries[0].texts[0], 1))
    assert score.padding.used < 60 + 1 + 10 * len("when was it? a b cd") + 50


def test_trees_share_what_all_their_texts_begin_with():
    def texts(*fed):
        return [_Text(tuple(f), [1]) for f in fed]

    start = range(100, 130)
    one, two, three = texts([*start, 1, 2], [*start, 1, 2, 3], [*start, 5])
    far, near = texts([*range(12), 7], [*range(12), 8])
    trees = _trees([three, far, two, near, one])
    assert [tree.texts for tree in trees] == [[far], [near], [one, two, three]]  # 12 tokens are not worth a tree
    assert [tree.shared for tree in trees] == [0, 0, 29]  # the 30th is each text's own
    assert [len(tree) for tree in trees] == [13, 13, 29 + 3 + 4 + 2]
    long = texts(*([*range(600), n] for n in (1, 2)), *([*range(600), 3, *range(500)] for _ in "x"))
    assert [len(tree) for tree in _trees(long)] == [599 + 2 + 2, 1101]  # no tree of several is longer than the rows


def test_a_chat_turn_is_begun_and_its_end_is_scored(scorer, tiny, tokenizer):
    score, params = scorer()
    task = ScoringTask("chat", (Continuations("who", (" me",)),), judge, render="chat", prefill=" a", ended=True)
    ((scores,),) = score(params, [task], "x")["chat"]
    ids = [*tokenizer("who? a me")["input_ids"], EOS]
    same(scores, alone(tiny, tokenizer, ids, len("who? a")))


def test_a_text_of_one_token_has_no_scores(scorer):
    score, params = scorer()
    ((scores,),) = score(params, [ScoringTask("one", (Continuations("", ("a",)),), judge)], "x")["one"]
    assert [len(part) for part in scores] == [0, 0, 0, 0]


def test_little_is_padding_and_few_programs_are_made(scorer, monkeypatch):
    score, params = scorer()
    shapes = set()
    program = score.score
    monkeypatch.setattr(score, "score", lambda p, *batch: shapes.add(batch[0].tokens_BT.shape) or program(p, *batch))
    lengths = np.random.default_rng(3).integers(20, 500, 60).tolist()
    score(params, [ScoringTask("texts", passages(*lengths), judge)], "x")
    assert score.padding.waste < 0.15
    assert len(shapes) <= 2
    before = program._cache_size()
    score(params, [ScoringTask("texts", passages(*lengths), judge)], "y")
    assert program._cache_size() == before


def test_what_is_longer_than_the_model_takes_is_left_out(scorer):
    score, _ = scorer()
    task = ScoringTask("texts", passages(30, 1025, 1026), judge)  # the last token of a text is not fed
    (kept,) = score.fitting([task])
    assert kept.queries == task.queries[:2]
    assert score.too_long == {"texts": TooLong(left_out=1, cut=0, of=3, limit=1024)}


def test_row_sizes_that_no_text_needs_are_passed_over(scorer):
    score, _ = scorer()
    trees = [_Tree([_Text((1,) * length, [1])]) for length in (2000, 30, 40)]
    batches = score._batches(trees)
    assert [(batch.trees, batch.places, batch.shape) for batch in batches] == [
        ([trees[0], trees[2]], [(0, 0), (0, 2000)], (1, 2048)),
        ([trees[1]], [(0, 0)], (1, 1024)),
    ]


def test_padding_of_two_is_that_of_all_their_slots():
    assert Padding(10, 9) + Padding(30, 21) == Padding(40, 30)
    assert (Padding(10, 9) + Padding(30, 21)).waste == 0.25
    assert Padding().waste == 0


def test_no_tasks(scorer):
    score, params = scorer()
    assert score(params, [], "x") == {}
    assert score.padding.waste == 0
