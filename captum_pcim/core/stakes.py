r"""What is at stake between an image and a reference: where its class begins, and in which unit.

Against a reference that shows nothing of the class, a blend shows it where its log-odds are above
0. Many references show something of it, and some images are hardly told from theirs; then what can
be preserved and removed lies between the two. With the log-odds :math:`l` of the image and
:math:`r` of the reference, those of blends are read as

.. math:: g \, (\ell - m), \quad
          m = \operatorname{clamp}(0, \, r + q (l - r), \, l - q (l - r)), \quad
          g = \operatorname{clamp}(8 / (l - r), 1, 8).

So the class begins at 0 where 0 lies well between the two, and else as near to it as leaves a tenth
of the way on either side; and where there is little between them, that little counts as much as the
price of the area, which would otherwise buy an empty map. The rule is ours.
"""

from dataclasses import dataclass, replace

import torch
from torch import Tensor

from captum_pcim.core.scores import Scores

MARGIN = 0.1  # of the way from a reference to the image, on either side of where the class begins
LEAST = 0.25  # nats between the two that are taken for granted
SPAN = 8.0  # nats that they are spread to
MOST_GAIN = 8.0


@dataclass(frozen=True)
class Stakes:
    """Of each image and reference.

    Args:
        boundary (Tensor): Log-odds at which the class begins, of shape (N, R).
        gain (Tensor): What a nat of log-odds counts, of shape (N, R).
    """

    boundary: Tensor
    gain: Tensor

    @staticmethod
    def between(references: Tensor, full: Tensor) -> "Stakes":
        """Return what is at stake.

        Args:
            references (Tensor): Log-odds of the references, of shape (N, R).
            full (Tensor): Log-odds of the images, of shape (N,).
        """
        full = full.unsqueeze(1)
        low = torch.minimum(references, full - LEAST)
        margin = MARGIN * (full - low)
        boundary = torch.zeros_like(low).clamp(low + margin, full - margin)
        return Stakes(boundary, (SPAN / (full - low)).clamp(1, MOST_GAIN))

    def read(self, scores: Scores, reference: int) -> Scores:
        """Return the scores of one or more batches of blends with their log-odds in this unit."""
        boundary, gain = self.boundary[:, reference], self.gain[:, reference]
        per_batch = scores.log_odds.unflatten(0, (-1, len(boundary)))
        return replace(scores, log_odds=((per_batch - boundary) * gain).flatten())

    def against(self, reference: int) -> "Stakes":
        """Return those between each image and one reference."""
        only = slice(reference, reference + 1)
        return Stakes(self.boundary[:, only], self.gain[:, only])

    def take(self, rows: Tensor) -> "Stakes":
        """Return those of some of the images."""
        return Stakes(self.boundary[rows], self.gain[rows])
