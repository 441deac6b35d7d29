"""Networks for the screen tests, found by worker processes as ``screen_networks:NAME``."""

import os
import signal
import time
import warnings
from pathlib import Path

import torch
from torch import Tensor, nn

from captum_pcim.classifiers import DistanceToControls

N_CLASSES = 2


class Linear(nn.Module):
    """Logits (-s, s) with s the contrast between the left and the right half of the first stain."""

    def forward(self, inputs: Tensor) -> Tensor:
        half = inputs.shape[-1] // 2
        contrast = inputs[:, 0, :, :half].mean((1, 2)) - inputs[:, 0, :, half:].mean((1, 2))
        return 4 * torch.stack([-contrast, contrast], dim=1)


class NotANumber(Linear):
    """Returns NaN for an image whose very first pixel is full."""

    def forward(self, inputs: Tensor) -> Tensor:
        broken = (inputs[:, 0, 0, 0] == 1).unsqueeze(1)
        return super().forward(inputs).masked_fill(broken, torch.nan)


class Warns(Linear):
    """Warns of an image whose very first pixel is full."""

    def forward(self, inputs: Tensor) -> Tensor:
        if bool((inputs[:, 0, 0, 0] == 1).any()):
            warnings.warn("odd\nimage", UserWarning, stacklevel=1)
        return super().forward(inputs)


class Greedy(Linear):
    """Asks for a petabyte of memory when it sees more than two images at once."""

    def forward(self, inputs: Tensor) -> Tensor:
        if len(inputs) > 4:  # a batch of 2 and its complements
            torch.empty(2**50)
        return super().forward(inputs)


class Gluttonous(Linear):
    """Asks for a petabyte of memory for any image."""

    def forward(self, inputs: Tensor) -> Tensor:
        torch.empty(2**50)
        return super().forward(inputs)


class Deadly(Linear):
    """Kills its own process for an image whose very first pixel is full, and counts the deaths."""

    def forward(self, inputs: Tensor) -> Tensor:
        if bool((inputs[:, 0, 0, 0] == 1).any()):
            with open(os.environ["DEADLY_FLAG"] + ".deaths", "ab") as file:
                file.write(b".")
            os.kill(os.getpid(), signal.SIGKILL)
        return super().forward(inputs)


class DeadlyOnce(Linear):
    """Kills its own process the first time it is called, as the file named by DEADLY_FLAG tells."""

    def forward(self, inputs: Tensor) -> Tensor:
        flag = os.environ["DEADLY_FLAG"]
        if os.path.exists(flag):
            os.remove(flag)
            os.kill(os.getpid(), signal.SIGKILL)
        return super().forward(inputs)


class Stillborn(Linear):
    """Ends its process before it is there."""

    def __init__(self) -> None:
        os._exit(7)


class Breaking(Linear):
    """Breaks the results folder that the file DEADLY_FLAG names, as a disk that goes away would."""

    def forward(self, inputs: Tensor) -> Tensor:
        folder = Path(os.environ["DEADLY_FLAG"]).read_text()
        if Path(folder, "tmp").is_dir():
            Path(folder, "tmp").rename(Path(folder, "gone"))
            Path(folder, "tmp").touch()
        return super().forward(inputs)


class Slow(Linear):
    """Takes its time, so that there is a middle to be killed in."""

    def forward(self, inputs: Tensor) -> Tensor:
        time.sleep(0.01)
        return super().forward(inputs)


class Located(Slow):
    """Writes down on which node of a Ray cluster it was loaded, beside the file DEADLY_FLAG."""

    def __init__(self) -> None:
        import ray

        super().__init__()
        with open(os.environ["DEADLY_FLAG"] + ".nodes", "a") as file:
            file.write(ray.get_runtime_context().get_node_id() + "\n")


class Polite(Linear):
    """Writes its process's priority into the file DEADLY_FLAG."""

    def __init__(self) -> None:
        super().__init__()
        Path(os.environ["DEADLY_FLAG"]).write_text(str(os.nice(0)))


class OneLogit(Linear):
    """The logit of the second class alone, of shape (N, 1)."""

    def forward(self, inputs: Tensor) -> Tensor:
        return super().forward(inputs)[:, 1:]


class Flat(OneLogit):
    """The same of shape (N,)."""

    def forward(self, inputs: Tensor) -> Tensor:
        return super().forward(inputs)[:, 0]


class OneProbability(OneLogit):
    """The probability of the second class alone."""

    def forward(self, inputs: Tensor) -> Tensor:
        return super().forward(inputs).sigmoid()


def distance() -> DistanceToControls:
    """A scorer that was not fitted: its controls come with its weights."""
    return DistanceToControls(Linear().eval())


class Labels(Linear):
    """Two labels that both hold for any image."""

    def forward(self, inputs: Tensor) -> Tensor:
        return super().forward(inputs) + 4


class Probabilities(Linear):
    """The probabilities of two classes."""

    def forward(self, inputs: Tensor) -> Tensor:
        return super().forward(inputs).softmax(1)


class LabelProbabilities(Labels):
    """The probabilities of two labels, each of its own."""

    def forward(self, inputs: Tensor) -> Tensor:
        return super().forward(inputs).sigmoid()
