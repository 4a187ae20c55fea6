"""Packaging. Lower bounds are the oldest versions that were tried, upper bounds exclude the untried."""

from pathlib import Path

from setuptools import find_packages, setup

setup(
    name="rule_jax",
    version="0.1.0",
    description="RULE: Reinforcement UnLEarning for language models, in JAX",
    long_description=Path(__file__).with_name("README.md").read_text(encoding="utf-8"),
    long_description_content_type="text/markdown",
    license="Apache-2.0",
    python_requires=">=3.11",
    packages=find_packages(include=["rule_jax", "rule_jax.*"]),
    package_data={"rule_jax": ["**/*.html", "**/*.css", "**/*.js", "**/*.txt", "**/*.md"]},
    install_requires=[
        "jax>=0.10.2,<0.11",
        "flax>=0.12.8,<0.13",
        "optax>=0.2.8,<0.3",
        "orbax-checkpoint>=0.12.8,<0.13",
        "transformers>=5.23,<6",
        "tokenizers>=0.23,<0.24",
        "safetensors>=0.8,<0.9",
        "datasets>=5.2,<6",
        "pyarrow>=26,<27",
        "numpy>=2.4,<3",
        "scipy>=1.17,<2",
        "ml_dtypes>=0.6,<0.7",
        "rouge-score>=0.1.2,<0.2",
        "scikit-learn>=1.9,<2",
        "wordllama>=0.4.0.post1,<0.5",
        "nltk>=3.10,<4",
        "openai>=3.54,<4",
        "httpx2>=2.16,<3",
        "absl-py>=2.5,<3",
        "ml-collections>=1.1,<2",
        "jinja2>=3.1,<4",
        "matplotlib>=3.11,<4",
        "tqdm>=4.70,<5",
    ],
    extras_require={
        "test": [
            "pytest>=9.2,<10",
            "ruff>=0.17.6,<0.18",
            "pyright>=1.1.414,<2",
            "hypothesis>=6.155,<7",
            "tensorboardX>=2.6.5,<3",
            "submitit>=1.5.4,<1.6",
            "kubernetes>=36,<37",
        ],
        "fuzz": ["atheris>=3.0,<3.1"],
        "watch": ["tensorboardX>=2.6.5,<3", "wandb>=0.31,<0.32"],
        "parity": ["torch==2.13.0", "peft>=0.21.2,<0.22"],
        "slurm": ["submitit>=1.5.4,<1.6"],
        "cuda": ["jax[cuda13]>=0.10.2,<0.11"],
        "tpu": ["jax[tpu]>=0.10.2,<0.11"],
    },
)
