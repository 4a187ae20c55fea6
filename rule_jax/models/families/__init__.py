"""One file per model family, named as `model_type` in config.json.

Every file has `config(hf) -> DecoderConfig` and `tensors(config) -> tuple[Tensor, ...]`. What several families read or
name alike stands in `_fields.py` and `_tensors.py`; where config.json is silent, a family means what the class of the
same name in `transformers` means.
"""
