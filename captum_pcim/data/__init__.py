"""Images to try PCIM on: synthetic HCI images with exact truth, and readers for image files."""

from captum_pcim.data.brightfield import synthetic_brightfield
from captum_pcim.data.cnn import LargeKernelCNN, SmallResNet, load_cnn
from captum_pcim.data.fluorescence import synthetic_fluorescence
from captum_pcim.data.planted import PlantedNetwork
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
    "LargeKernelCNN",
    "PlantedNetwork",
    "SmallResNet",
    "SyntheticImages",
    "load_cnn",
    "synthetic_brightfield",
    "synthetic_fluorescence",
]
