"""The method: channels, blending, references, objective, network and solver, bottom up."""
