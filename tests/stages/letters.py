"""A tokenizer of one token a letter, so that lengths can be counted by eye."""

from tokenizers import Tokenizer, models, pre_tokenizers
from transformers import PreTrainedTokenizerFast

LETTERS = "abcdefghijklmnopqrstuvwxyz ?."
EOS = len(LETTERS)  # a model's, of which the tokenizer knows nothing
TEMPLATE = "{% for m in messages %}{{ m.content }}?{% endfor %}"


def tokenizer() -> PreTrainedTokenizerFast:
    """A token per letter, without any that are special; a chat turn is its words and a question mark."""
    made = Tokenizer(models.WordLevel({letter: n for n, letter in enumerate(LETTERS)}, unk_token="?"))
    made.pre_tokenizer = pre_tokenizers.Split("", "isolated")
    return PreTrainedTokenizerFast(tokenizer_object=made, chat_template=TEMPLATE)
