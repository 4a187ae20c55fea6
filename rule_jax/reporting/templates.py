"""The page's templates: HTML files beside this one, escaped by default, with the filters that they know."""

from pathlib import Path

import jinja2

from rule_jax.reporting import published
from rule_jax.reporting.vocabulary import PROXIES, model_label, percent, task_label


def template(name: str) -> jinja2.Template:
    """A template of this folder. What it asks for and is not given raises an error instead of showing as nothing."""
    environment = jinja2.Environment(
        loader=jinja2.FileSystemLoader(Path(__file__).parent),
        autoescape=True,
        trim_blocks=True,
        lstrip_blocks=True,
        undefined=jinja2.StrictUndefined,
    )
    environment.filters |= {
        "model": model_label,
        "task": task_label,
        "seconds": seconds,
        "percent": percent,
        "cell": published.text,
    }
    environment.globals |= {"readings": published.READINGS, "layouts": published.ABOUT, "proxies": PROXIES}
    return environment.get_template(name)


def seconds(value: float) -> str:
    """12.3 -> "12.3 s", 754 -> "12 min 34 s", 7540 -> "2 h 06 min"."""
    if value < 99.95:
        return f"{value:.1f} s"
    minutes, rest = divmod(round(value), 60)
    return f"{minutes} min {rest:02d} s" if minutes < 60 else f"{minutes // 60} h {minutes % 60:02d} min"
