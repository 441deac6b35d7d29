"""Scripts that make the result files and the tables of docs/benchmarks.md, a room per subject."""
