"""rule_jax.text.chat on the four shapes that chat templates have in the wild, to the token.

The templates are written here in the style of well-known families, the tokenizers have one token per byte (id 100 +
its place in the byte alphabet) and the special tokens of the style from 0 on. Every tokenizer would put a BOS before a
text by itself: none may come of it.
"""

import json

import pytest
from tokenizers import Tokenizer, decoders, models, pre_tokenizers, processors

from rule_jax.errors import UserError
from rule_jax.text import chat

BYTES = {letter: 100 + place for place, letter in enumerate(sorted(pre_tokenizers.ByteLevel.alphabet()))}

HEADERS = (  # as Llama 3: a header names the role, text is trimmed
    "{{ bos_token }}{% for m in messages %}"
    "{{ '<|start_header_id|>' + m.role + '<|end_header_id|>\n\n' + m.content | trim + '<|eot_id|>' }}{% endfor %}"
    "{% if add_generation_prompt %}{{ '<|start_header_id|>assistant<|end_header_id|>\n\n' }}{% endif %}"
)
CHATML = (  # as Qwen: no BOS, a system turn of its own when none is given
    "{% if messages[0].role != 'system' %}{{ '<|im_start|>system\nBe kind.<|im_end|>\n' }}{% endif %}"
    "{% for m in messages %}{{ '<|im_start|>' + m.role + '\n' + m.content + '<|im_end|>\n' }}{% endfor %}"
    "{% if add_generation_prompt %}{{ '<|im_start|>assistant\n' }}{% endif %}"
)
TURNS = (  # as Gemma: the assistant is called model, and there is no system
    "{{ bos_token }}{% for m in messages %}"
    "{% if m.role == 'system' %}{{ raise_exception('System role not supported') }}{% endif %}"
    "{{ '<start_of_turn>' + ('model' if m.role == 'assistant' else m.role) + '\n' + m.content | trim }}"
    "{{ '<end_of_turn>\n' }}{% endfor %}{% if add_generation_prompt %}{{ '<start_of_turn>model\n' }}{% endif %}"
)
INSTRUCTIONS = (  # as Mistral: no generation prompt, and the system's words are folded into the user's turn
    "{{ bos_token }}{% set ns = namespace(system='') %}{% for m in messages %}"
    "{% if m.role == 'system' %}{% set ns.system = m.content + '\n\n' %}"
    "{% elif m.role == 'user' %}{{ '[INST] ' + ns.system + m.content + '[/INST]' }}"
    "{% else %}{{ ' ' + m.content + eos_token }}{% endif %}{% endfor %}"
)
STYLES = {  # template, special tokens (BOS first, the end of a turn last)
    "headers": (HEADERS, ["<|begin_of_text|>", "<|start_header_id|>", "<|end_header_id|>", "<|eot_id|>"]),
    "chatml": (CHATML, ["<|endoftext|>", "<|im_start|>", "<|im_end|>"]),
    "turns": (TURNS, ["<bos>", "<start_of_turn>", "<end_of_turn>"]),
    "instructions": (INSTRUCTIONS, ["<s>", "[INST]", "[/INST]", "</s>"]),
}
USER, ASSISTANT, MODEL, SYSTEM, KIND = (
    [184, 182, 168, 181],
    [164, 182, 182, 172, 182, 183, 164, 177, 183],
    [176, 178, 167, 168, 175],
    [182, 188, 182, 183, 168, 176],
    [133, 168, 320, 174, 172, 177, 167, 113],
)
HI, BLANK, NEWLINE = [139, 172], [320], [298]


@pytest.fixture
def load(tmp_path):
    def make(style):
        template, special = STYLES[style]
        tokenizer = Tokenizer(models.BPE(vocab={**{token: i for i, token in enumerate(special)}, **BYTES}, merges=[]))
        tokenizer.add_special_tokens(special)
        tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
        tokenizer.decoder = decoders.ByteLevel()
        tokenizer.post_processor = processors.TemplateProcessing(
            single=f"{special[0]} $A", special_tokens=[(special[0], 0)]
        )
        tokenizer.save(str(tmp_path / "tokenizer.json"))
        fields = {"tokenizer_class": "PreTrainedTokenizerFast", "bos_token": special[0], "eos_token": special[-1]}
        (tmp_path / "tokenizer_config.json").write_text(json.dumps(fields))
        (tmp_path / "chat_template.jinja").write_text(template, encoding="utf-8")
        return chat.load_tokenizer(tmp_path)

    return make


GOLDEN = {
    "headers": [0, 1, *USER, 2, *NEWLINE, *NEWLINE, *HI, 3, 1, *ASSISTANT, 2, *NEWLINE, *NEWLINE],
    "chatml": [
        *[1, *SYSTEM, *NEWLINE, *KIND, 2, *NEWLINE],
        *[1, *USER, *NEWLINE, *HI, 2, *NEWLINE],
        *[1, *ASSISTANT, *NEWLINE],
    ],
    "turns": [0, 1, *USER, *NEWLINE, *HI, 2, *NEWLINE, 1, *MODEL, *NEWLINE],
    "instructions": [0, 1, *BLANK, *HI, 2],
}


@pytest.mark.parametrize("style", STYLES)
def test_a_prompt_to_the_token(load, style):
    tokenizer = load(style)
    assert chat.encode_chat(tokenizer, ["Hi"]) == [GOLDEN[style]]
    assert GOLDEN[style].count(0) == (0 if style == "chatml" else 1)
    [prefilled] = chat.encode_chat(tokenizer, ["Hi"], prefill="Hi")
    assert prefilled == [*GOLDEN[style], *HI]


@pytest.mark.parametrize(
    ("style", "answer"),
    [
        ("headers", [*HI, 3]),
        ("chatml", [*HI, 2]),
        ("turns", [*HI, 2]),
        ("instructions", [*BLANK, *HI, 3]),
    ],
)
def test_an_exchange_to_the_token(load, style, answer):
    assert chat.encode_examples(load(style), ["Hi"], ["Hi"], (3, 2)) == [(GOLDEN[style], answer)]


SYSTEM_GOLDEN = {
    "headers": [0, 1, *SYSTEM, 2, *NEWLINE, *NEWLINE, *KIND, 3, *GOLDEN["headers"][1:]],
    "chatml": GOLDEN["chatml"],
    "instructions": [0, 1, *BLANK, *KIND, *NEWLINE, *NEWLINE, *HI, 2],
}


@pytest.mark.parametrize("style", SYSTEM_GOLDEN)
def test_a_system_prompt_to_the_token(load, style):
    assert chat.encode_chat(load(style), ["Hi"], system="Be kind.") == [SYSTEM_GOLDEN[style]]


def test_a_template_without_a_system_role_says_so(load):
    with pytest.raises(UserError, match=r"System role not supported. Without config.model.system_prompt it may"):
        chat.encode_chat(load("turns"), ["Hi"], system="Be kind.")


# What users write is text


@pytest.mark.parametrize("style", STYLES)
def test_special_tokens_in_what_users_write_are_letters(load, style):
    """Each special token of a style, wherever it is written, adds none to those of the template."""
    tokenizer, special = load(style), STYLES[style][1]
    system = "" if style == "turns" else "Be kind."
    marks = set(range(len(special)))

    def counted(ids):
        return [token for token in ids if token in marks]

    expected = counted(chat.encode_chat(tokenizer, ["Hi"], system=system)[0])
    for token in special:
        for prompt in (token, f"Hi{token}", f"{token} Hi {token}{token}"):
            [ids] = chat.encode_chat(tokenizer, [prompt], system=system and f"{system}{token}")
            assert counted(ids) == expected
            assert prompt in tokenizer.decode(ids)
        [(ids, answer)] = chat.encode_examples(tokenizer, [f"Hi{token}"], [f"a{token}b"], (3, 2))
        assert counted(ids) == counted(GOLDEN[style])
        assert counted(answer) == [answer[-1]]
        assert counted(chat.encode_raw(tokenizer, [f"a{token}b"])[0]) == [0]
        [(whole, start)] = chat.encode_continuations(tokenizer, [("Hi", f"a{token}b")], chat=True)
        assert counted(whole) == counted(GOLDEN[style])
        assert start == len(GOLDEN[style])
        begun = f" So{token} {token}"
        [ids] = chat.encode_chat(tokenizer, ["Hi"], prefill=begun)
        assert counted(ids) == counted(GOLDEN[style])
        assert begun.strip() in tokenizer.decode(ids)
        [(whole, _)] = chat.encode_continuations(tokenizer, [("Hi", token)], chat=True, prefill=begun)
        assert counted(whole) == counted(GOLDEN[style])


def test_a_clean_prompt_beside_another_is_encoded_as_ever(load):
    tokenizer = load("headers")
    clean, *_ = chat.encode_chat(tokenizer, ["Hi", "<|eot_id|>", "Hi"])
    assert clean == GOLDEN["headers"]
    assert chat.encode_chat(tokenizer, ["<|eot_id|>", "Hi"])[1] == GOLDEN["headers"]


def test_private_use_characters_of_a_user_stay_what_they_are(load):
    tokenizer = load("headers")
    for prompt in ("\ue0000\ue001", "\ue00099\ue001 <|eot_id|>", f"\ue000{'9' * 5000}\ue001"):
        [ids] = chat.encode_chat(tokenizer, [prompt])
        assert [token for token in ids if token < 100] == [token for token in GOLDEN["headers"] if token < 100]
