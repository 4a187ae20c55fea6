"""Strings in, strings or floats out: refusals, templates, overlap, names and leaks."""
