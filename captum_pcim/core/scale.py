"""Whether what stands for nothing has the scale of the images that it is blended with."""

from dataclasses import dataclass

from torch import Tensor

from captum_pcim.core.warn import warn

FAR = 10  # times what the inputs span, beyond them


@dataclass
class Scale:
    """What the values of an input span.

    Args:
        darkest (float): The lowest value of all images.
        brightest (float): The highest.
        told (bool): Whether something beyond it was warned of, which happens once.
    """

    darkest: float
    brightest: float
    told: bool = False

    @classmethod
    def of(cls, inputs: Tensor) -> "Scale":
        """Return what images span."""
        return cls(*_range(inputs))

    def tell(self, name: str, values: Tensor) -> None:
        """Warn of values that lie far beyond those of the inputs.

        Args:
            name (str): The argument that they come from.
            values (Tensor): What images are blended against.
        """
        if self.told:
            return
        low, high = _range(values)
        span = self.brightest - self.darkest
        outside = max(self.darkest - low, high - self.brightest)
        if not outside > FAR * span > 0:
            return
        self.told = True
        warn(
            f"{name}: values lie {outside:.3g} outside those of the inputs, which span "
            f"{span:.3g}; are they of another scale (255 for white, where images end at 1)? A "
            "network has seldom seen such images, and maps against them mean little"
        )


def _range(tensor: Tensor) -> tuple[float, float]:
    # Not all integers can be compared.
    values = tensor.detach() if tensor.is_floating_point() else tensor.float()
    low, high = values.aminmax()
    return float(low), float(high)
