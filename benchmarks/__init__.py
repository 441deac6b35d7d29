"""Scripts that make the tables of docs/benchmarks.md: `python -m benchmarks.<name>`."""
