"""Fuzzing, mutations, and whether two states of the package give the same bits."""
