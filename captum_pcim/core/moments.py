"""What differs from one step to the next: numbers on the device, made once for all steps."""

from dataclasses import dataclass

import torch
from torch import Tensor

from captum_pcim.core import adam
from captum_pcim.core.readout import ranking_shares


@dataclass(frozen=True)
class Moment:
    """The numbers of one step.

    Args:
        row (Tensor): All of them side by side, of which the others are views.
        adam (adam.Moments): The optimiser's.
        share (Tensor): Of this step's weights in their average, one number.
        progress (float or Tensor): Share of the steps already done, in [0, 1].
    """

    row: Tensor
    adam: adam.Moments
    share: Tensor
    progress: float | Tensor

    @staticmethod
    def of(row: Tensor, progress: float | None = None) -> "Moment":
        """Return the numbers that stand in a row, the progress with them if it is not given."""
        *of_adam, share, on_device = row.unbind()
        return Moment(
            row, adam.Moments(*of_adam), share, on_device if progress is None else progress
        )


def moments(n_steps: int, like: Tensor) -> list[Moment]:
    """Return the numbers of each step.

    Args:
        n_steps (int): How many.
        like (Tensor): Of the dtype and on the device of the logits.
    """
    progress = torch.linspace(0, 1, n_steps, dtype=like.dtype, device=like.device)
    columns = *adam.moments(n_steps, like), ranking_shares(n_steps, like), progress
    rows = torch.stack(columns, 1)
    return [Moment.of(row, step / max(1, n_steps - 1)) for step, row in enumerate(rows)]
