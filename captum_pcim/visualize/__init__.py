"""Pictures of images, maps and what a network sees in them; arrays for Captum and napari.

Functions that start with `plot_` return a :class:`matplotlib.figure.Figure`, or draw into `axes`
that are given and return the figure these belong to. None of them touches `matplotlib.pyplot`, so
nothing has to be closed and any backend will do. Images are one image each, (C, H, W) or a stack
(C, D, H, W), as torch tensors or NumPy arrays; of stacks the maximum projection is drawn.
"""

from captum_pcim.visualize.canvas import draw_scale_bar
from captum_pcim.visualize.colours import STAIN_COLOURS, percentile_windows
from captum_pcim.visualize.composite import composite, display_map, overlay, stretch
from captum_pcim.visualize.evidence import plot_blends, plot_fidelity, plot_objects
from captum_pcim.visualize.explanation import plot_explanation, plot_explanations
from captum_pcim.visualize.handover import captum_arrays, napari_layers
from captum_pcim.visualize.maps import (
    plot_contours,
    plot_map,
    plot_maps,
    plot_overlay,
    plot_stains,
)
from captum_pcim.visualize.path import plot_path
from captum_pcim.visualize.regions import smallest_region

__all__ = [
    "STAIN_COLOURS",
    "captum_arrays",
    "composite",
    "display_map",
    "draw_scale_bar",
    "napari_layers",
    "overlay",
    "percentile_windows",
    "plot_blends",
    "plot_contours",
    "plot_explanation",
    "plot_explanations",
    "plot_fidelity",
    "plot_map",
    "plot_maps",
    "plot_objects",
    "plot_overlay",
    "plot_path",
    "plot_stains",
    "smallest_region",
    "stretch",
]
