"""Whole plates: rates, memory, and runs that are killed."""
