r"""The grids on whose nodes logits are trained, and how they add up to those of the pixels.

Three grids stand in space, from fine to coarse, and one in space and intensity. The logit of pixel
:math:`p` is

.. math:: \ell_p = \sum_s v_s \sum_u G^s_{pu} \, \theta^s_u
          + v \sum_d h_d(g_p) \sum_u G_{pu} \, \theta'_{du},

with the Gaussians :math:`G^s` of :class:`~captum_pcim.core.smoothing.Smoothing` and their weights
:math:`v_s`, the pixel's brightness :math:`g_p` and its shares :math:`h_d` of the intensity bins
(:mod:`captum_pcim.core.intensity`). An optimiser that moves all nodes alike moves large areas at
once through the coarse grid, and details follow on the fine one; through the last one a bright cell
may be kept without the dark around it, or the other way round: nothing makes the map follow
contrast but the network. Scales and bins are ours, not the paper's.
"""

from copy import copy
from dataclasses import replace

import torch
from torch import Tensor

from captum_pcim.core.intensity import bin_shares, brightness
from captum_pcim.core.smoothing import Smoothing, spread

INTENSITY_WEIGHT = 0.5  # of the grid in space and intensity


class Grids:
    """The grids of one input.

    Args:
        inputs (Tensor): Images of shape (N, C, *spatial) in the dtype that weights are trained in.
        smoothing (Smoothing): How smooth the logits are.
    """

    def __init__(self, inputs: Tensor, smoothing: Smoothing) -> None:
        self.inputs = inputs
        self.smoothing = smoothing
        self.sigma = smoothing.pixels(inputs.shape[2:])
        scales = smoothing.scales if self.sigma > 0 else ((1.0, 1.0),)
        like, spatial = inputs.new_empty(0), inputs.shape[2:]
        self.weight_of_last = scales[-1][1]
        self.matrices = [
            _weighted(smoothing.matrices(like, spatial, scale), weight) for scale, weight in scales
        ]
        last = [own[-1].T for own in self.matrices if own]
        self.other_axes = [own[:-1] for own in self.matrices]
        self.last_axis = torch.cat(last) if last else None
        self.n_bins = smoothing.n_bins if self.sigma > 0 else 0
        self.bin_matrices = _weighted(smoothing.matrices(like, spatial), INTENSITY_WEIGHT)
        self._bins: dict[int, Tensor] = {}  # by the number of maps, made when first needed

    def filled(self, n_maps: int, logit: float) -> tuple[Tensor, ...]:
        """Return logits on all nodes that make every pixel's the same, for some maps of each image.

        Args:
            n_maps (int): 1 for a map that all stains share, or the number of stains.
            logit (float): Of the pixels. The nodes of one grid have it, those of the others zero.
        """
        n_images, spatial = len(self.inputs), self.inputs.shape[2:]
        sizes = [[m.shape[1] for m in matrices] or spatial for matrices in self.matrices]
        shapes = [(n_images, n_maps, *nodes) for nodes in sizes]
        if self.n_bins:
            nodes = [m.shape[1] for m in self.bin_matrices]
            shapes.append((n_images, n_maps * self.n_bins, *nodes))
        filled = [self.inputs.new_zeros(shape) for shape in shapes]
        filled[len(sizes) - 1].fill_(logit / self.weight_of_last)
        return tuple(filled)

    def logits(self, nodes: tuple[Tensor, ...]) -> Tensor:
        """Return the logits of the pixels, (N, maps, *spatial), from those of the nodes."""
        if self.last_axis is None:
            return nodes[0]
        # Side by side the spatial grids go along the last axis at once, which adds them up.
        of_space = [spread(*pair) for pair in zip(nodes, self.other_axes, strict=False)]
        columns = torch.cat(of_space, -1)
        if not self.n_bins:
            return columns @ self.last_axis
        n_maps = nodes[0].shape[1]
        by_bin = spread(nodes[-1], self.bin_matrices).unflatten(1, (n_maps, self.n_bins))
        of_bins = (by_bin * self._shares(n_maps)).sum(2)
        rows = columns.flatten(0, -2)
        return torch.addmm(of_bins.flatten(0, -2), rows, self.last_axis).view_as(of_bins)

    def middle(self) -> "Grids":
        """Return the middle one of the Gaussians as the only grid."""
        return Grids(self.inputs, replace(self.smoothing, scales=((1.0, 1.0),), n_bins=0))

    def take(self, rows: Tensor) -> "Grids":
        """Return the grids of some of the images, which share the matrices with all."""
        taken = copy(self)
        taken.inputs = self.inputs[rows]
        taken._bins = {n_maps: shares[rows] for n_maps, shares in self._bins.items()}
        return taken

    @torch.no_grad()
    def _shares(self, n_maps: int) -> Tensor:
        """The pixels' shares of the bins: of each stain's brightness, or of their mean's."""
        if n_maps not in self._bins:
            stains = self.inputs.mean(1, keepdim=True) if n_maps == 1 else self.inputs
            self._bins[n_maps] = bin_shares(brightness(stains), self.n_bins)
        return self._bins[n_maps]


def _weighted(matrices: tuple[Tensor, ...], weight: float) -> tuple[Tensor, ...]:
    """Multiply a grid's weight into its matrices, once instead of at every step."""
    return (weight * matrices[0], *matrices[1:]) if matrices else ()
