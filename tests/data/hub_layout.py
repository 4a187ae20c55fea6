"""Data sets in the layout of the hub, made on the spot: parquet files, and a README.md that says which is which."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

Tables = Mapping[tuple[str, str], Sequence[Mapping[str, Any]]]


def make(root: Path, tables: Tables) -> str:
    """The address of a data set with these tables: {(config, split): rows}. The columns' types are inferred."""
    import datasets

    datasets.disable_progress_bars()
    configs: dict[str, list[str]] = {}
    for (config, split), rows in tables.items():
        file = root / config / f"{split}-00000-of-00001.parquet"
        file.parent.mkdir(parents=True, exist_ok=True)
        datasets.Dataset.from_list([dict(row) for row in rows]).to_parquet(str(file))
        configs.setdefault(config, []).extend([f"  - split: {split}", f"    path: {config}/{split}-*"])
    lines = [line for name, files in configs.items() for line in (f"- config_name: {name}", "  data_files:", *files)]
    (root / "README.md").write_text("\n".join(["---", "configs:", *lines, "---", ""]), encoding="utf-8")
    return f"hub:{root}"
