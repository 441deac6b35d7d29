"""A Captum user with a network of torchvision: README's Python, then their own network.

python captum_user.py README.md        (in an empty folder)
"""

import torch
from page import blocks

for code in blocks("python"):
    exec(code)

from captum.attr import NoiseTunnel, visualization  # noqa: E402
from torchvision.models import resnet18  # noqa: E402

from captum_pcim import PCIM  # noqa: E402
from captum_pcim.metrics import image_infidelity  # noqa: E402
from captum_pcim.visualize import captum_arrays  # noqa: E402

torch.manual_seed(0)
network = resnet18(weights=None)  # a user has weights; random ones download nothing
photographs = torch.rand(1, 3, 64, 64)

try:
    PCIM(network).attribute(photographs, target=1)
except ValueError as error:
    assert "model.eval()" in str(error), error
network.eval()
try:
    PCIM(network).attribute(photographs[0], target=1)
except ValueError as error:
    assert "unsqueeze(0)" in str(error), error

attributions = PCIM(network).attribute(photographs, target="predicted")
assert attributions.shape == photographs.shape
assert attributions.min() >= 0 and attributions.max() <= 1
target = int(network(photographs).argmax())
smooth = NoiseTunnel(PCIM(network)).attribute(
    photographs, nt_samples=2, stdevs=0.01, target=target, n_steps=4
)
assert smooth.shape == photographs.shape
print("infidelity", float(image_infidelity(network, photographs, attributions, target).mean()))
arrays = captum_arrays(photographs[0], attributions[0])
figure, _ = visualization.visualize_image_attr(*arrays, "heat_map", "positive", use_pyplot=False)
figure.savefig("map.png")
