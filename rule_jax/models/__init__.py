"""Decoder-only language models as pure functions over parameter trees: one file per family, one decoder for all."""
