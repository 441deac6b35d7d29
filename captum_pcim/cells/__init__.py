"""Single cells: cropped, explained, stitched to their field and measured."""

from captum_pcim.cells.crops import Cropping, crop_cells
from captum_pcim.cells.explain import CellExplanations, explain_cells
from captum_pcim.cells.measuring import measure

__all__ = ["CellExplanations", "Cropping", "crop_cells", "explain_cells", "measure"]
