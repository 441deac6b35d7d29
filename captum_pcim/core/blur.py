r"""Gaussian blur of whole images, in time and memory nearly linear in their size.

The blur is separable and normalised at the borders: along each spatial axis of :math:`n` pixels,

.. math:: y_i = \frac{\sum_j k_{i - j} x_j}{\sum_j k_{i - j}}, \quad
          k_d = \exp\left(-\frac{d^2}{2 \sigma^2}\right),

which is what :func:`captum_pcim.core.smoothing.gaussian_matrix` with spacing 1 says as a matrix of
:math:`n^2` numbers. Here both sums are convolutions by a fast Fourier transform of length
:math:`2 n`, so the kernel is cut off nowhere and may be as wide as the image.
"""

import torch
from torch import Tensor


def gaussian_blur(images: Tensor, sigma: float) -> Tensor:
    """Blur images along all spatial axes.

    Args:
        images (Tensor): Of shape (N, C, *spatial), floating point.
        sigma (float): Standard deviation in pixels; 0 leaves the images as they are.

    Returns:
        Tensor: Means of each image's and stain's own pixels, so never outside their range; shaped
        like the images and in their dtype.
    """
    axes = tuple(range(2, images.ndim))
    if sigma == 0 or not axes or images.numel() == 0:
        return images
    # A transform of half precision is not to be had everywhere, and would know 3 digits.
    blurred = images.to(torch.promote_types(images.dtype, torch.float32))
    for axis in axes:
        blurred = _along(blurred, axis, sigma)
    low, high = images.amin(axes, keepdim=True), images.amax(axes, keepdim=True)
    return blurred.to(images.dtype).clamp(low, high)


def _along(images: Tensor, axis: int, sigma: float) -> Tensor:
    size = images.shape[axis]
    length = 2 * size
    # On the images' device from the start: a copy from the host would have it waited for.
    place = torch.arange(length, dtype=images.dtype, device=images.device)
    distance = torch.minimum(place, length - place)  # around the circle: the kernel is even
    transfer = torch.fft.rfft(torch.exp(-(distance**2) / (2 * sigma**2))).real

    def summed(values: Tensor) -> Tensor:
        sums: Tensor = torch.fft.irfft(torch.fft.rfft(values, n=length) * transfer, n=length)
        return sums[..., :size]

    blurred = summed(images.movedim(axis, -1)) / summed(torch.ones_like(place[:size]))
    return blurred.movedim(-1, axis)
