"""Synthetic images with exact truth, and the small networks that classify them."""

from captum_pcim.data.fluorescence import synthetic_fluorescence
from captum_pcim.data.synthetic import (
    DEVELOPMENT_SEED,
    HELD_OUT_SEED,
    TRAIN_SEED,
    SyntheticImages,
)

__all__ = [
    "DEVELOPMENT_SEED",
    "HELD_OUT_SEED",
    "TRAIN_SEED",
    "SyntheticImages",
    "synthetic_fluorescence",
]
