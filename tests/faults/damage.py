"""What a disk or a careless copy does to a file of a checkpoint."""

from pathlib import Path


def largest(folder: Path, pattern: str = "**/*") -> Path:
    """The largest file of an item of a checkpoint: the one that holds its arrays."""
    return max((file for file in folder.glob(pattern) if file.is_file()), key=lambda file: file.stat().st_size)


def truncate(file: Path) -> None:
    """To an eighth, so that more goes than the unread end of the file (see `flip_a_bit`)."""
    file.write_bytes(file.read_bytes()[: file.stat().st_size // 8])


def flip_a_bit(file: Path) -> None:
    """One bit, an eighth into the file.

    Not in its middle: behind the arrays lie indices that OCDBT made and superseded while it wrote several things at
    once. Nobody reads them, and in one save in many they reach as far.
    """
    damaged = bytearray(file.read_bytes())
    damaged[len(damaged) // 8] ^= 1 << 2
    file.write_bytes(damaged)
