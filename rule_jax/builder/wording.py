"""The words that backends are asked in: text files, which a user may replace one by one.

Each `prompts/*.txt` holds names in braces. What is put in their place is quoted as a JSON string, so that a name that
holds line breaks, quotes or braces stays one quoted name.
"""

import json
import re
from collections.abc import Mapping
from pathlib import Path

from rule_jax import files
from rule_jax.errors import UserError

OURS = Path(__file__).with_name("prompts")
# What each file must hold; what else it may hold is what `backends/_chat.py` fills in.
FIELDS: Mapping[str, tuple[str, ...]] = {
    "system": (),
    "relations": ("target", "count"),
    "queries": ("target", "relation", "count"),
    "neighbours": ("target", "count"),
    "rewrite": ("neighbour", "question"),
    "opinion": ("query", "answer"),
    "unfit": ("target", "names"),
    "answer": ("query",),
}
VERBATIM = {"answer": ("query",)}  # the base model is asked the query itself

_FIELD = re.compile(r"\{(\w+)\}")


class Wording:
    """The files of a folder, and ours where it has none; "" is ours alone. Raises UserError for a folder that is not
    there or has no file of ours, and for a file that leaves out a field."""

    def __init__(self, folder: str = ""):
        own = Path(folder) if folder else OURS
        if not own.is_dir() or not any((own / f"{name}.txt").is_file() for name in FIELDS):
            names = ", ".join(f"{name}.txt" for name in FIELDS)
            raise UserError(f"config.prompts={folder!r} is no folder with one of {names}")
        self.texts = {}
        for name, fields in FIELDS.items():
            file = own / f"{name}.txt" if (own / f"{name}.txt").is_file() else OURS / f"{name}.txt"
            self.texts[name] = files.read_text(file).strip()
            missing = [field for field in fields if f"{{{field}}}" not in self.texts[name]]
            if missing:
                raise UserError(f"{file} leaves out {', '.join(f'{{{field}}}' for field in missing)}")

    def fill(self, name: str, **values: object) -> str:
        """The text with the values in their places, quoted (nothing for ""); other braces stand. One pass: braces in a
        value mean nothing."""
        bare = VERBATIM.get(name, ())

        def put(match: re.Match[str]) -> str:
            field = match.group(1)
            if field not in values:
                return match.group()
            value = values[field]
            return str(value) if field in bare or value == "" else json.dumps(value, ensure_ascii=False)

        return _FIELD.sub(put, self.texts[name])
