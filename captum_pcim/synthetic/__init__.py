"""Images to try PCIM on: synthetic HCI images with exact truth, and readers for image files."""

from captum_pcim.synthetic.brightfield import synthetic_brightfield
from captum_pcim.synthetic.cnn import LargeKernelCNN, SmallResNet, load_cnn
from captum_pcim.synthetic.fluorescence import synthetic_fluorescence
from captum_pcim.synthetic.images import (
    DEVELOPMENT_SEED,
    HELD_OUT_SEED,
    TRAIN_SEED,
    SyntheticImages,
)
from captum_pcim.synthetic.planted import PlantedNetwork

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
