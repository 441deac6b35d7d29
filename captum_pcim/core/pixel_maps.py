"""One value per pixel instead of one per pixel and stain."""

import torch
from torch import Tensor

from captum_pcim._compat import TensorOrTuple, as_tuple, like_inputs


def pixel_maps(attributions: TensorOrTuple) -> TensorOrTuple:
    """Return attributions without their axis of stains.

    Captum's contract is a map of the inputs' shape. Weights that are shared over stains, the
    default, stand there C times over; of others this is the mean.

    Args:
        attributions (Tensor or tuple of Tensor): Of shape (N, C, *spatial).

    Returns:
        Tensor or tuple of Tensor: Of shape (N, *spatial).

    Raises:
        TypeError: If they are no tensors.
        ValueError: If there is no axis of pixels after that of stains.

    Examples:
        >>> pixel_maps(PCIM(model).attribute(inputs, target=1)).shape
        torch.Size([8, 96, 96])
    """
    maps = as_tuple(attributions)
    for own in maps:
        if not isinstance(own, Tensor):
            raise TypeError(
                f"attributions: expected a tensor or a tuple of tensors, got {type(own).__name__}"
            )
        if own.ndim < 3:
            raise ValueError(
                f"attributions: expected (N, C, *spatial), got {tuple(own.shape)}; features (N, F) "
                "have one value each as they are"
            )
    return like_inputs(tuple(map(_mean_over_stains, maps)), attributions)


def _mean_over_stains(own: Tensor) -> Tensor:
    # A mean of equal numbers is off by a rounding.
    shared = bool((own == own[:, :1]).all())
    return own[:, 0].clone() if shared else torch.mean(own, dim=1)
