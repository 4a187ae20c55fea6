"""Talk to a model, or to two side by side: before and after forgetting.

    python -m rule_jax.chat --run=runs/grpo [--temperature=0.7] [--raw]
    python -m rule_jax.chat --model=DIR [--compare=DIR]

Each line is a question of its own; an empty line or the end of the input ends the conversation.
"""

import json
import sys
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from absl import flags

from rule_jax import batching, files, hf, programs, sharding
from rule_jax.errors import UserError, one_line
from rule_jax.models.decoder import Model, Params
from rule_jax.text import chat

RUN = flags.DEFINE_string("run", None, "A finished run: its base model and its export, before and after.")
MODEL = flags.DEFINE_string("model", None, "Model directory, e.g. runs/grpo/export.")
COMPARE = flags.DEFINE_string("compare", None, "A second model directory, answered beside the first.")
TEMPERATURE = flags.DEFINE_float("temperature", 0.0, "0 answers greedily.", lower_bound=0.0)
MAX_NEW_TOKENS = flags.DEFINE_integer("max_new_tokens", 64, "The longest answer, in tokens.", lower_bound=1)
RAW = flags.DEFINE_bool("raw", False, "Continue each line as plain text, without the chat template.")
CHAT_TEMPLATE = flags.DEFINE_string("chat_template", "", "For a model without one: 'plain' or a Jinja file.")
SEED = flags.DEFINE_integer("seed", 0, "For sampling.")


class Speaker:
    """A loaded model that answers one prompt at a time."""

    def __init__(self, name: str, path: str):
        self.name = name
        self.mesh = sharding.make_mesh(data=1, fsdp=1, tensor=-1)
        self.model: Model = hf.load_model(path)
        self.tokenizer: Any = chat.load_tokenizer(path, CHAT_TEMPLATE.value)
        eos_ids = hf.eos_ids(path)
        chat.check_vocabulary(self.tokenizer, path, self.model.config.vocab_size, eos_ids)
        self.dtype = jnp.float32 if jax.default_backend() == "cpu" else jnp.bfloat16
        cast = programs.make_cast(self.model, self.mesh, self.dtype, "decode")
        self.params: Params = cast(hf.load_params(path, self.model, self.mesh, self.dtype))
        self.generate = programs.make_generate(
            self.model, self.mesh, samples=1, max_new_tokens=MAX_NEW_TOKENS.value, eos_ids=eos_ids
        )

    def answer(self, text: str, turn: int) -> str:
        encode = chat.encode_raw if RAW.value else chat.encode_chat
        ids = encode(self.tokenizer, [text])
        rollout = self.generate(
            self.params,
            sharding.put_rows(batching.pad_prompts(ids, batching.bucket(len(ids[0]))), self.mesh),
            jax.random.key(SEED.value),
            np.int32(turn),
            sharding.put_rows(np.zeros(1, np.int32), self.mesh),
            np.float32(TEMPERATURE.value),
        )
        response = np.asarray(rollout.response_BGR)[0, 0, : int(rollout.length_BG[0, 0])]
        return chat.decode(self.tokenizer, [response])[0].strip()


def main(argv: Sequence[str]) -> None:
    if len(argv) > 1:
        raise UserError(f"unexpected argument {argv[1]!r}; options are written --name=value")
    speakers = [Speaker(name, path) for name, path in _models()]
    width = max(len(speaker.name) for speaker in speakers)
    for turn, line in enumerate(_lines()):
        for speaker in speakers:
            print(f"{speaker.name:>{width}}: {json.dumps(speaker.answer(line, turn), ensure_ascii=False)[1:-1]}")


def _models() -> list[tuple[str, str]]:
    """(name to show, directory) of each model that the flags ask for."""
    if RUN.value:
        base = files.read_json(Path(RUN.value) / "data" / "model.json")["path"]
        return [("before", base), ("after", str(Path(RUN.value) / "export"))]
    if MODEL.value is None:
        raise UserError("give --run=runs/grpo, or --model=DIR of any model directory")
    return [(Path(path).name, path) for path in (MODEL.value, COMPARE.value) if path]


def _lines() -> Iterator[str]:
    """What is typed, or piped in, until an empty line."""
    while True:
        try:
            line = input("you> " if sys.stdin.isatty() else "").strip()
        except EOFError:
            return
        if not line:
            return
        if not sys.stdin.isatty():
            print(f"you> {line}")
        yield line


def console() -> None:
    """Runs `main`; what a user can mend is one line and exit code 2."""
    with one_line(flags.Error):
        main(flags.FLAGS(sys.argv))


if __name__ == "__main__":
    console()
