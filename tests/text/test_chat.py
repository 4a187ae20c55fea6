"""rule_jax.text.chat on tokenizers made here: what a template writes, where an answer begins and ends."""

import contextlib
import json
import signal

import pytest
from tokenizers import Tokenizer, decoders, models, pre_tokenizers, processors

from rule_jax.errors import UserError
from rule_jax.text import chat

SPECIAL = ("<bos>", "<eos>", "<end>", "<user>", "<assistant>", "<system>")
BOS, EOS, END, USER, ASSISTANT, SYSTEM = range(len(SPECIAL))
VOCABULARY = {token: number for number, token in enumerate([*SPECIAL, *sorted(pre_tokenizers.ByteLevel.alphabet())])}

LLAMA = (  # as Llama 3: a BOS, a mark that ends each turn, nothing after it
    "{{ bos_token }}{% for m in messages %}{{ '<' + m.role + '>' + m.content + '<end>' }}{% endfor %}"
    "{% if add_generation_prompt %}<assistant>{% endif %}"
)
CHATML = (  # as ChatML: no BOS, a newline after the mark that ends a turn
    "{% for m in messages %}{{ '<' + m.role + '>' + m.content + '<end>\n' }}{% endfor %}"
    "{% if add_generation_prompt %}<assistant>{% endif %}"
)
BARE = "{% for m in messages %}{{ m.content }}{% if m.role == 'user' %}={% endif %}{% endfor %}"  # no BOS, no end
THINKING = (  # a new turn begins with a thought that is dropped from history: the prompt is no prefix of the whole
    "{% for m in messages %}{{ '<' + m.role + '>' + m.content + '<end>' }}{% endfor %}"
    "{% if add_generation_prompt %}<assistant>hm{% endif %}"
)
EOS_IDS = (END, EOS)  # several, as generation_config.json states them


def letters(text: str):
    """The ids of a text without special tokens: one per byte."""
    return [VOCABULARY[{" ": "Ġ", "\n": "Ċ"}.get(letter, letter)] for letter in text]


@pytest.fixture
def load(tmp_path):
    """load(template) -> the tokenizer of a directory, one token per byte; plain text gets a BOS and maybe an EOS."""

    def make(template, chat_template="", text="<bos> $A"):
        tokenizer = Tokenizer(models.BPE(vocab=VOCABULARY, merges=[]))
        tokenizer.add_special_tokens(list(SPECIAL))
        tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
        tokenizer.decoder = decoders.ByteLevel()
        marks = [("<bos>", BOS), ("<eos>", EOS)]
        tokenizer.post_processor = processors.TemplateProcessing(single=text, special_tokens=marks)
        tokenizer.save(str(tmp_path / "tokenizer.json"))
        fields = {"tokenizer_class": "PreTrainedTokenizerFast", "bos_token": "<bos>", "eos_token": "<eos>"}
        (tmp_path / "tokenizer_config.json").write_text(json.dumps(fields))
        if template:
            (tmp_path / "chat_template.jinja").write_text(template, encoding="utf-8")
        return chat.load_tokenizer(tmp_path, chat_template)

    return make


# Prompts and what continues them


def test_a_prefill_loses_its_blank_where_the_template_ends_in_one(load):
    (ids,) = chat.encode_chat(load(LLAMA), ["who?"], prefill=" A:")
    assert ids[-3:] == letters(" A:")
    (ids,) = chat.encode_chat(load("{{ messages[0].content + '\n' }}"), ["who?"], prefill=" A:")
    assert ids == letters("who?\nA:")


def test_a_continuation_is_scored_from_its_first_token(load):
    tokenizer = load(LLAMA)
    pairs = [("who?", " me"), ("who?", " you")]
    raw = chat.encode_continuations(tokenizer, pairs, chat=False)
    assert raw == [([BOS, *letters("who? me")], 5), ([BOS, *letters("who? you")], 5)]
    turn = [BOS, USER, *letters("who?"), END, ASSISTANT, *letters(" A:")]
    chatted = chat.encode_continuations(tokenizer, pairs, chat=True, prefill=" A:")
    assert chatted == [([*turn, *letters(text)], len(turn)) for _, text in pairs]


def test_a_text_without_a_prompt_is_scored_from_what_something_predicts(load):
    assert chat.encode_continuations(load(LLAMA), [("", "me")], chat=False) == [([BOS, *letters("me")], 1)]
    bare = load(LLAMA, text="$A")
    assert chat.encode_continuations(bare, [("", "me")], chat=False) == [(letters("me"), 1)]


def test_a_prompt_has_one_bos_and_ends_where_the_assistant_begins(load):
    tokenizer = load(LLAMA)
    expected = [BOS, USER, *letters("who?"), END, ASSISTANT]
    assert chat.encode_chat(tokenizer, ["who?"]) == [expected]


def test_a_template_without_bos_gets_none(load):
    tokenizer = load(CHATML)
    expected = [USER, *letters("who?"), END, *letters("\n"), ASSISTANT]
    assert chat.encode_chat(tokenizer, ["who?"]) == [expected]


def test_prompts_of_a_batch_are_not_padded(load):
    ids = chat.encode_chat(load(LLAMA), ["a", "abc"])
    assert ids == [[BOS, USER, *letters("a"), END, ASSISTANT], [BOS, USER, *letters("abc"), END, ASSISTANT]]


def test_a_system_prompt_comes_first(load):
    ids = chat.encode_chat(load(LLAMA), ["a"], system="be brief")
    assert ids == [[BOS, SYSTEM, *letters("be brief"), END, USER, *letters("a"), END, ASSISTANT]]


def test_a_prefill_begins_the_assistants_turn(load):
    ids = chat.encode_chat(load(LLAMA), ["a"], prefill="Answer:")
    assert ids == [[BOS, USER, *letters("a"), END, ASSISTANT, *letters("Answer:")]]


def test_a_text_that_begins_with_a_blank_keeps_it(load):
    assert chat.encode_chat(load(LLAMA), [" a "]) == [[BOS, USER, *letters(" a "), END, ASSISTANT]]


# Exchanges


@pytest.mark.parametrize(
    ("template", "prompt", "response"),
    [
        (LLAMA, [BOS, USER, *letters("a?"), END, ASSISTANT], [*letters("b c"), END]),
        (CHATML, [USER, *letters("a?"), END, *letters("\n"), ASSISTANT], [*letters("b c"), END]),  # the newline is cut
        (BARE, letters("a?="), [*letters("b c"), END]),  # the template ends nothing: eos_ids[0] does
        (THINKING, [USER, *letters("a?"), END, ASSISTANT, *letters("hm")], [*letters("b c"), END]),
    ],
    ids=["llama", "chatml", "bare", "thinking"],
)
def test_an_exchange_is_a_prompt_and_a_response_that_ends(load, template, prompt, response):
    tokenizer = load(template)
    assert chat.encode_examples(tokenizer, ["a?"], ["b c"], EOS_IDS) == [(prompt, response)]
    assert chat.encode_chat(tokenizer, ["a?"]) == [prompt]  # trained on what is asked later


def test_a_response_ends_at_its_first_eos(load):
    """Nothing after it is supervised, though the template writes more."""
    tokenizer = load(LLAMA.replace("<end>'", "<end><eos>'"))
    [(_, response)] = chat.encode_examples(tokenizer, ["a"], ["b"], EOS_IDS)
    assert response == [*letters("b"), END]
    [(_, response)] = chat.encode_examples(tokenizer, ["a"], ["b"], (EOS,))
    assert response == [*letters("b"), END, EOS]


def test_only_the_first_of_the_eos_ids_is_added(load):
    [(_, response)] = chat.encode_examples(load(BARE), ["a"], ["b"], (EOS, END))
    assert response == [*letters("b"), EOS]


def test_an_exchange_has_the_system_prompt_that_its_question_will_have(load):
    tokenizer = load(LLAMA)
    [(prompt, response)] = chat.encode_examples(tokenizer, ["a"], ["b"], EOS_IDS, system="be brief")
    assert [prompt] == chat.encode_chat(tokenizer, ["a"], system="be brief")
    assert response == [*letters("b"), END]


def test_each_exchange_of_a_batch_keeps_its_own_length(load):
    pairs = chat.encode_examples(load(LLAMA), ["a", "abc"], ["x", "yz"], EOS_IDS)
    assert [response for _, response in pairs] == [[*letters("x"), END], [*letters("yz"), END]]


# Plain text


def test_plain_text_gets_what_the_tokenizer_puts_before_it(load):
    assert chat.encode_raw(load(LLAMA), ["ab", ""]) == [[BOS, *letters("ab")], [BOS]]


def test_plain_text_to_be_continued_has_no_end(load):
    assert chat.encode_raw(load(LLAMA, text="<bos> $A <eos>"), ["ab"]) == [[BOS, *letters("ab")]]


def test_plain_text_without_a_bos(load):
    assert chat.encode_raw(load(LLAMA, text="$A"), ["ab"]) == [letters("ab")]


def test_decoding_drops_special_tokens_and_keeps_blanks(load):
    rows = [[BOS, *letters(" a b\n"), END], []]
    assert chat.decode(load(LLAMA), rows) == [" a b\n", ""]


# Templates


def test_the_plain_template_suits_a_base_model(load):
    tokenizer = load("", chat_template="plain", text="$A")
    assert chat.render(tokenizer, "Who?") == "Question: Who?\nAnswer:"
    assert chat.render(tokenizer, "Who?", response="Ina.") == "Question: Who?\nAnswer: Ina.<eos>"
    [(prompt, response)] = chat.encode_examples(tokenizer, ["Who?"], ["Ina."], EOS_IDS)
    assert prompt == letters("Question: Who?\nAnswer:")
    assert response == [*letters(" Ina."), EOS]


def test_the_plain_template_has_a_bos_where_the_tokenizer_puts_one(load):
    """A base model that has seen a BOS before every text is asked with one."""
    tokenizer = load("", chat_template="plain")
    assert chat.encode_chat(tokenizer, ["Who?"]) == [[BOS, *letters("Question: Who?\nAnswer:")]]
    assert chat.encode_raw(tokenizer, ["Who?"]) == [[BOS, *letters("Who?")]]


def test_a_template_from_a_file_replaces_the_models_own(load, tmp_path):
    (tmp_path / "mine.jinja").write_text(BARE, encoding="utf-8")
    tokenizer = load(LLAMA, chat_template=str(tmp_path / "mine.jinja"))
    assert chat.encode_chat(tokenizer, ["a"]) == [letters("a=")]


def test_without_a_template_the_error_says_how_to_give_one(load):
    with pytest.raises(UserError, match=r"no chat template; give one with config.model.chat_template=FILE.jinja, or"):
        load("")


def test_a_template_file_that_is_not_there(load):
    with pytest.raises(UserError, match=r"'absent.jinja' is neither 'plain' nor a file"):
        load(LLAMA, chat_template="absent.jinja")


def test_a_malformed_template_is_found_when_it_is_loaded(load):
    with pytest.raises(UserError, match=r"the chat template cannot render messages of roles user: .*endfor"):
        load("{% for m in messages %}")


def test_a_template_that_knows_no_system_role_says_so(load):
    tokenizer = load(
        "{% for m in messages %}{% if m.role == 'system' %}{{ raise_exception('no system role here') }}{% endif %}"
        "{{ m.content }}{% endfor %}"
    )
    assert chat.render(tokenizer, "a") == "a"
    with pytest.raises(UserError, match=r"roles system, user: no system role here"):
        chat.encode_chat(tokenizer, ["a"], system="be brief")


HOSTILE = {  # template, the reason of the refusal
    "attributes": ("{{ ''.__class__.__mro__ }}", "attribute '__class__' of 'str' object is unsafe"),
    "items": ("{{ ''['__class__']['__base__'] }}", "attribute '__class__' of 'str' object is unsafe"),
    "formats": ("{{ '{0.__class__.__mro__}'.format('') }}", "attribute '__class__' of 'str' object is unsafe"),
    "globals": ("{{ raise_exception.__globals__['os'].system('true') }}", "attribute '__globals__' of 'function'"),
    "a global of Jinja": ("{{ cycler.__init__.__globals__.os }}", "attribute '__init__' of 'type' object is unsafe"),
    "an import": ("{% import 'os' as os %}{{ os.system('true') }}", "no loader for this environment"),
    "another file": ("{% include '/etc/passwd' %}", "no loader for this environment"),
    "the messages": ("{{ messages.append(1) }}", "attribute 'append' of 'list' object is unsafe"),
    "a division": ("{{ 1 / 0 }}", "division by zero"),
    "an operation": ("{{ 1 + 'a' }}", "unsupported operand"),
    "a recursion": ("{% macro f() %}{{ f() }}{% endmacro %}{{ f() }}", "recursion"),
    "a long range": ("{{ range(10**9) }}", "Range too big"),
    "loops in loops": (
        "{% for i in range(99999) %}{% for j in range(99999) %}{% endfor %}{% endfor %}",
        "does not end within 0.5 s",
    ),
    "a great number": ("{{ 3 ** (10 ** 9) % 7 }}", "does not end within 0.5 s"),
}


@pytest.mark.parametrize("what", HOSTILE)
def test_a_hostile_template_is_stopped(load, monkeypatch, what):
    monkeypatch.setattr(chat, "RENDER_S", 0.5)
    template, reason = HOSTILE[what]
    with pytest.raises(UserError, match=rf"the chat template cannot render messages of roles user: .*{reason}"):
        load(template)


@pytest.mark.parametrize("what", ["''.__class__", "''|attr('__class__')", "messages.__class__", "self.__dict__"])
def test_what_a_template_may_not_see_is_nothing_to_it(load, what):
    assert chat.render(load(f"<{{{{ {what} }}}}>"), "?") == "<>"


def test_a_template_that_is_done_in_time_leaves_the_clock_as_it_was(load):
    def mine(*_):
        raise AssertionError

    before = signal.signal(signal.SIGALRM, mine)
    try:
        chat.render(load(LLAMA), "?")
        assert signal.getsignal(signal.SIGALRM) is mine
        assert signal.getitimer(signal.ITIMER_REAL) == (0.0, 0.0)
    finally:
        signal.signal(signal.SIGALRM, before)


def test_code_beside_a_tokenizer_is_never_run(load, tmp_path):
    load(LLAMA)
    fields = json.loads((tmp_path / "tokenizer_config.json").read_text())
    named = {"auto_map": {"AutoTokenizer": ["tokenization_x.X", "tokenization_x.X"]}, "tokenizer_class": "X"}
    (tmp_path / "tokenizer_config.json").write_text(json.dumps({**fields, **named}))
    (tmp_path / "tokenization_x.py").write_text(f"open({str(tmp_path / 'ran')!r}, 'w')\nclass X: pass\n")
    with contextlib.suppress(UserError):  # or it is read as what it is without the code
        chat.load_tokenizer(tmp_path)
    assert not (tmp_path / "ran").exists()


@pytest.mark.parametrize("content", [None, "{,", "[]", "{}"])
def test_a_directory_without_a_usable_tokenizer(tmp_path, content):
    if content is not None:
        (tmp_path / "tokenizer.json").write_text(content)
        (tmp_path / "tokenizer_config.json").write_text('{"tokenizer_class": "PreTrainedTokenizerFast"}')
    with pytest.raises(UserError, match="no tokenizer could be loaded") as caught:
        chat.load_tokenizer(tmp_path)
    assert "\n" not in str(caught.value)


def test_a_tokenizer_of_another_model_is_found_before_anything_runs(load):
    tokenizer = load(LLAMA)
    size = tokenizer.vocab_size
    assert chat.check_vocabulary(tokenizer, "m", size, EOS_IDS) is None
    with pytest.raises(
        UserError, match=rf"m: the tokenizer's vocabulary goes up to id {size - 1}, but .* is {size - 1}"
    ):
        chat.check_vocabulary(tokenizer, "m", size - 1, EOS_IDS)
    with pytest.raises(UserError, match=rf"m: eos_token_id goes up to id {size + 7}, but the model's vocab_size is"):
        chat.check_vocabulary(tokenizer, "m", size + 1, (EOS, size + 7))
    tokenizer.add_tokens(["<image>"], special_tokens=True)  # known, but in no text
    assert chat.check_vocabulary(tokenizer, "m", size, EOS_IDS) is None
    tokenizer.chat_template = "<image>" + LLAMA
    with pytest.raises(UserError, match=rf"the chat template goes up to id {size}, but"):
        chat.check_vocabulary(tokenizer, "m", size, EOS_IDS)
