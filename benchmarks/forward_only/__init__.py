"""Maps from forward passes alone, of PCIM and of its rivals."""
