"""Log-probabilities and scores to figures, in NumPy and SciPy on the host: what benchmarks and reports compute with."""
