"""Disks with little room, or that may only be read: made by mounting, which only root may do."""

import contextlib
import subprocess
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest


def _mount(place: Path, *arguments: str) -> None:
    done = subprocess.run(["mount", *arguments, str(place)], capture_output=True, text=True)
    if done.returncode:
        pytest.skip(f"nothing may be mounted here: {done.stderr.strip()}")


@contextlib.contextmanager
def _mounted(place: Path, *arguments: str) -> Iterator[None]:
    place.mkdir(parents=True, exist_ok=True)
    _mount(place, *arguments)
    try:
        yield
    finally:
        subprocess.run(["umount", "--lazy", str(place)], check=True)


@contextlib.contextmanager
def small_disk(place: Path, size: int) -> Iterator[Callable[[int], None]]:
    """A disk of so many bytes at `place`. What it yields gives it another size."""
    with _mounted(place, "-t", "tmpfs", "-o", f"size={size}", "tmpfs"):
        yield lambda size: _mount(place, "-o", f"remount,size={size}")


@contextlib.contextmanager
def read_only(place: Path) -> Iterator[None]:
    """While the block lasts, a folder can be read and not written, by root neither."""
    with _mounted(place, "--bind", str(place)):
        _mount(place, "-o", "remount,bind,ro")
        yield
