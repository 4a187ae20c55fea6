"""What a disk or a careless copy does to a file of a checkpoint."""

from pathlib import Path


def largest(folder: Path, pattern: str = "**/*") -> Path:
    """The largest file of an item of a checkpoint: the one that holds its arrays."""
    return max((file for file in folder.glob(pattern) if file.is_file()), key=lambda file: file.stat().st_size)


def truncate(file: Path) -> None:
    """To an eighth, so that more goes than the unread end of the file (see `flip_bits`)."""
    file.write_bytes(file.read_bytes()[: file.stat().st_size // 8])


def flip_bits(file: Path) -> None:
    """A bit of the byte in the middle, and of every 256th before and after it.

    Not that one alone: behind the arrays lie indices that OCDBT made and superseded while it wrote several things at
    once. Nobody reads them, and they may reach to the middle of the file.
    """
    damaged = bytearray(file.read_bytes())
    for at in range(len(damaged) // 2 % 256, len(damaged), 256):
        damaged[at] ^= 1 << 2
    file.write_bytes(damaged)
