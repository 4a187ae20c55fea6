"""From a user's words to token ids and back, through the model's own chat template.

What a user writes is text and nothing else: "<|eot_id|>" in a prompt becomes the tokens of its letters, so that nobody
ends a turn or opens another one's by writing so. This holds for the tokens that the tokenizer calls special; a template
whose marks are plain text ("[INST]" of the first Mistral models) cannot tell its own from the user's.

A template is a program that came with a model. It runs in the sandbox of transformers, which shows it nothing but the
messages, and whatever it does there ends as text or as a UserError.
"""

import os
import re
import signal
import threading
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from rule_jax import files
from rule_jax.errors import UserError

if TYPE_CHECKING:
    from transformers import PreTrainedTokenizerBase

RENDER_S = 20.0  # a template that is still at one exchange after so many seconds is at it for ever
PLAIN = (
    "{% for m in messages %}{% if m.role == 'user' %}Question: {{ m.content }}\nAnswer:{% else %} {{ m.content }}"
    "{{ eos_token }}{% endif %}{% endfor %}"
)


def load_tokenizer(path: str | Path, chat_template: str = "") -> "PreTrainedTokenizerBase":
    """The tokenizer of a model directory, from local files and without remote code.

    chat_template: "" for the model's own, "plain" for a question-and-answer format that suits base models, or the
    path of a Jinja file. Raises UserError when the directory has no tokenizer, or no template where one is needed.
    """
    os.environ.setdefault("TRANSFORMERS_NO_ADVISORY_WARNINGS", "1")  # it misses PyTorch, which is not needed here
    from transformers import AutoTokenizer  # a second to import: only commands that use a model pay it

    try:
        tokenizer = AutoTokenizer.from_pretrained(str(path), local_files_only=True, trust_remote_code=False)
    except Exception as error:  # of a malformed file the library says anything, from OSError to TypeError
        first = str(error).strip().splitlines()[0] if str(error).strip() else type(error).__name__
        raise UserError(f"{path}: no tokenizer could be loaded ({first}); it needs tokenizer.json") from None
    if chat_template == "plain":
        begins = bool(encode_raw(tokenizer, [""])[0])  # a base model has seen a BOS before every text, or before none
        tokenizer.chat_template = ("{{ bos_token }}" if begins else "") + PLAIN
    elif chat_template:
        if not Path(chat_template).is_file():
            raise UserError(f"config.model.chat_template={chat_template!r} is neither 'plain' nor a file")
        tokenizer.chat_template = files.read_text(Path(chat_template))
    if not tokenizer.chat_template:
        raise UserError(
            f"{path}: the tokenizer has no chat template; give one with config.model.chat_template=FILE.jinja, or "
            "'plain' for a base model"
        )
    render(tokenizer, "?")  # a template that cannot be read is found now and not in the middle of a run
    return tokenizer


def check_vocabulary(
    tokenizer: "PreTrainedTokenizerBase", path: str | Path, vocab_size: int, eos_ids: Sequence[int]
) -> None:
    """Raises UserError where text, the chat template or the end of an answer has ids that a model has no row for.

    Tokens that the tokenizer merely knows beyond those do no harm: Gemma 3's has one for images.
    """
    largest = {
        "the tokenizer's vocabulary": tokenizer.vocab_size - 1,
        "the chat template": max(encode_chat(tokenizer, ["?"])[0], default=0),
        "eos_token_id": max(eos_ids),
    }
    for what, token in largest.items():
        if token >= vocab_size:
            raise UserError(
                f"{path}: {what} goes up to id {token}, but the model's vocab_size is {vocab_size}; tokenizer and "
                "weights do not belong together"
            )


def encode_chat(
    tokenizer: "PreTrainedTokenizerBase", prompts: Sequence[str], *, system: str = "", prefill: str = ""
) -> list[list[int]]:
    """Token ids of each prompt as a chat turn, the assistant's turn begun with `prefill`.

    The template writes the BOS; the tokenizer adds none, so there is never a second one. A prefill that starts with a
    blank loses it where the template ends in one.
    """
    covered = _Covered(tokenizer)
    return covered.encode([covered.begun(p, system, prefill) for p in prompts])


def encode_raw(tokenizer: "PreTrainedTokenizerBase", texts: Sequence[str]) -> list[list[int]]:
    """Token ids of plain text to be continued, with what the tokenizer puts before any text (a BOS, if it has one)."""
    encoded: list[list[int]] = tokenizer(list(texts), add_special_tokens=True, split_special_tokens=True)["input_ids"]  # type: ignore[assignment]
    return [ids[:-1] if ids and ids[-1] == tokenizer.eos_token_id else ids for ids in encoded]


def encode_continuations(
    tokenizer: "PreTrainedTokenizerBase",
    pairs: Sequence[tuple[str, str]],
    *,
    chat: bool,
    system: str = "",
    prefill: str = "",
) -> list[tuple[list[int], int]]:
    """(token ids of prompt and text, number of the first token to be scored) for (prompt, text) pairs.

    chat: the text goes into the assistant's turn, begun with `prefill`; otherwise it follows the prompt as it stands.
    Both are encoded as one, so that no seam shows; where a token straddles it, that token is scored. The first token
    of all is never scored: nothing predicts it.
    """
    if chat:
        covered = _Covered(tokenizer)
        opened = [covered.begun(p, system, prefill) for p, _ in pairs]
        whole = [start + covered.cover(text) for start, (_, text) in zip(opened, pairs)]
        encode = covered.encode
    else:
        opened, whole = [p for p, _ in pairs], [p + t for p, t in pairs]
        encode = partial(encode_raw, tokenizer)
    different = list(dict.fromkeys(opened))  # of a question with several answers the prompt is encoded once
    heads = dict(zip(different, encode(different)))
    return [(row, max(1, _shared(heads[head], row))) for head, row in zip(opened, encode(whole))]


def encode_examples(
    tokenizer: "PreTrainedTokenizerBase",
    prompts: Sequence[str],
    responses: Sequence[str],
    eos_ids: Sequence[int],
    *,
    system: str = "",
) -> list[tuple[list[int], list[int]]]:
    """(prompt ids, response ids) of chat exchanges; the response ends in the first EOS that the template writes.

    Where the template writes none, eos_ids[0] is added: a model that never sees its end learns to ramble.
    """
    prompt_ids = encode_chat(tokenizer, prompts, system=system)
    covered = _Covered(tokenizer)
    system = covered.cover(system)
    whole = [
        render(tokenizer, covered.cover(p), response=covered.cover(r), system=system)
        for p, r in zip(prompts, responses)
    ]
    whole_ids = covered.encode(whole)
    pairs = []
    for prompt, response, full in zip(prompt_ids, responses, whole_ids):
        if full[: len(prompt)] == prompt:
            answer = full[len(prompt) :]
        else:  # the template rewrites history (thinking tags, say): the response stands for itself
            answer = tokenizer(response, add_special_tokens=False, split_special_tokens=True)["input_ids"]
        end = next((i for i, token in enumerate(answer) if token in eos_ids), None)
        pairs.append((prompt, [*answer, eos_ids[0]] if end is None else answer[: end + 1]))  # type: ignore[misc]
    return pairs


def decode(tokenizer: "PreTrainedTokenizerBase", ids: Sequence[Sequence[int] | np.ndarray]) -> list[str]:
    """The text of answers, special tokens dropped, blanks as they came."""
    return tokenizer.batch_decode([list(row) for row in ids], skip_special_tokens=True)


def render(tokenizer: "PreTrainedTokenizerBase", prompt: str, *, response: str | None = None, system: str = "") -> str:
    """The chat template's text for one exchange; without a response it ends where the assistant is to begin.

    Raises UserError for a template that is malformed, refuses these messages (some know no system role), reaches for
    what the sandbox keeps from it, or does not end.
    """
    messages = [{"role": "user", "content": prompt}]
    if system:
        messages.insert(0, {"role": "system", "content": system})
    if response is not None:
        messages.append({"role": "assistant", "content": response})
    try:
        with _no_longer_than(RENDER_S):
            return tokenizer.apply_chat_template(messages, tokenize=False, add_generation_prompt=response is None)  # type: ignore[return-value]
    except Exception as error:  # a template is a program: beside Jinja's own errors it may divide by zero, or recurse
        roles = ", ".join(message["role"] for message in messages)
        reason = " ".join(str(error).split()) or type(error).__name__
        advice = ". Without config.model.system_prompt it may" if system else ""
        raise UserError(f"the chat template cannot render messages of roles {roles}: {reason}{advice}") from None


class _Endless(BaseException):
    """No Exception: Jinja swallows those while it works out constants, and would begin again."""


@contextmanager
def _no_longer_than(seconds: float) -> Iterator[None]:
    """Raises TimeoutError when the block takes longer; in the main thread, the only one that signals reach."""

    def stop(*_: object) -> None:
        raise _Endless

    if threading.current_thread() is not threading.main_thread():
        yield
        return
    before = signal.signal(signal.SIGALRM, stop)
    signal.setitimer(signal.ITIMER_REAL, seconds)
    try:
        yield
    except _Endless:
        raise TimeoutError(f"it does not end within {seconds:g} s") from None
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)
        signal.signal(signal.SIGALRM, before or signal.SIG_DFL)  # None: it was not Python that had set it


def _shared(head: Sequence[int], row: Sequence[int]) -> int:
    """How many tokens both start with."""
    return next((at for at, (a, b) in enumerate(zip(head, row)) if a != b), min(len(head), len(row)))


class _Covered:
    """Keeps what users write apart from the special tokens of a template.

    A special token that somebody wrote is covered, before the template is rendered, by two characters of the private
    use area and its number; it is uncovered after the template's own have been found, as the tokens of its letters.
    """

    COVER = re.compile("\ue000(\\d{1,6})\ue001")

    def __init__(self, tokenizer: "PreTrainedTokenizerBase"):
        self.tokenizer = tokenizer
        found = {str(token) for token in tokenizer.added_tokens_decoder.values() if token.special}
        self.marks = sorted(found, key=len, reverse=True)  # a mark that holds another comes first
        self.mark = re.compile("|".join(map(re.escape, self.marks)) or "(?!)")

    def cover(self, text: str) -> str:
        return self.mark.sub(lambda match: f"\ue000{self.marks.index(match.group())}\ue001", text)

    def begun(self, prompt: str, system: str, prefill: str) -> str:
        """The text of a chat turn, covered, up to where the assistant goes on."""
        text = render(self.tokenizer, self.cover(prompt), system=self.cover(system))
        return text + self.cover(prefill.removeprefix(" ") if text[-1:].isspace() else prefill)

    def encode(self, texts: Sequence[str]) -> list[list[int]]:
        """The ids of rendered texts. Those without covers are encoded together and in one piece."""
        plain = [text for text in texts if not self.COVER.search(text)]
        encoded = iter(self._ids(plain) if plain else ())
        return [self._uncovered(text) if self.COVER.search(text) else next(encoded) for text in texts]

    def _uncovered(self, text: str) -> list[int]:
        ids: list[int] = []
        for place, piece in enumerate(self.COVER.split(text)):
            written = place % 2 == 1 and int(piece) < len(self.marks)
            ids += self._ids([self.marks[int(piece)] if written else piece], split_special_tokens=written)[0]
        return ids

    def _ids(self, texts: list[str], split_special_tokens: bool = False) -> list[list[int]]:
        found = self.tokenizer(texts, add_special_tokens=False, split_special_tokens=split_special_tokens)
        return found["input_ids"]  # type: ignore[return-value]
