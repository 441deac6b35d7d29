"""Maps from forward passes alone: random masks, a surrogate learned from them, the sampler."""
