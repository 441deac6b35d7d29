"""The classifiers that are explained: trained on the training parts, kept in benchmarks/out."""

from __future__ import annotations

import argparse
from pathlib import Path

import torch
from torch import Tensor, nn

from benchmarks.bootstrap import estimate
from benchmarks.sets.real_data import DEFAULT_DATA, REAL_SETS, LabelledImages
from benchmarks.sets.train_cnn import train as train_synthetic
from captum_pcim.synthetic import (
    TRAIN_SEED,
    LargeKernelCNN,
    SmallResNet,
    load_cnn,
    synthetic_brightfield,
    synthetic_fluorescence,
)
from captum_pcim.synthetic.cnn import SHIPPED

ARCHITECTURES = {"SmallResNet": SmallResNet, "LargeKernelCNN": LargeKernelCNN}
OUT = Path(__file__).parents[1] / "out"
SYNTHETIC = {
    "synthetic fluorescence": ("fluorescence", synthetic_fluorescence),
    "synthetic bright field": ("brightfield", synthetic_brightfield),
}


def classifier(set_name: str, architecture: str, data: Path = DEFAULT_DATA) -> nn.Module:
    """Load a classifier, or train and keep it.

    Args:
        set_name: A name of SYNTHETIC or REAL_SETS.
        architecture: A name of ARCHITECTURES. SmallResNet of the synthetic sets is the shipped one.
        data: Folder of the real sets.

    Returns:
        The network in evaluation mode.
    """
    if set_name in SYNTHETIC and architecture == "SmallResNet":
        return load_cnn(SYNTHETIC[set_name][0])
    n_stains, n_classes = _sizes(set_name)
    torch.manual_seed(0)
    model: nn.Module = ARCHITECTURES[architecture](n_stains, n_classes)
    path = OUT / f"{set_name.replace(' ', '_')}_{architecture}.pt"
    if path.exists():
        model.load_state_dict(torch.load(path, weights_only=True))
        return model.eval()
    if set_name in SYNTHETIC:
        images = SYNTHETIC[set_name][1](2000, seed=TRAIN_SEED)
        train_synthetic(model, images, epochs=10)
    else:
        train(model, REAL_SETS[set_name].load(data, "train"), REAL_SETS[set_name].n_steps)
    OUT.mkdir(exist_ok=True)
    torch.save(model.state_dict(), path)
    return model.eval()


def train(
    model: nn.Module, images: LabelledImages, n_steps: int, batch: int = 16, seed: int = 0
) -> None:
    """Train in the ordinary way, both classes equally often, with flips, turns and brightness."""
    generator = torch.Generator().manual_seed(seed)
    optimizer = torch.optim.AdamW(model.parameters(), weight_decay=1e-2)
    schedule = torch.optim.lr_scheduler.OneCycleLR(optimizer, max_lr=5e-3, total_steps=n_steps)
    weights = 1.0 / images.labels.bincount()[images.labels]
    model.train()
    for step in range(n_steps):
        chosen = torch.multinomial(weights, batch, replacement=True, generator=generator)
        inputs = augment(images.inputs[chosen], generator)
        loss = nn.functional.cross_entropy(model(inputs), images.labels[chosen])
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        schedule.step()
        if (step + 1) % 100 == 0:
            print(f"step {step + 1:4d}  loss {loss.item():.4f}", flush=True)
    model.eval()


def augment(inputs: Tensor, generator: torch.Generator) -> Tensor:
    """Flip (and turn, if square) a batch as one; scale each image's brightness by up to 10 %."""
    flips = torch.rand(2, generator=generator) < 0.5
    inputs = inputs.flip([axis for axis, flip in zip((2, 3), flips, strict=True) if flip])
    if inputs.shape[2] == inputs.shape[3] and torch.rand(1, generator=generator) < 0.5:
        inputs = inputs.transpose(2, 3)
    scale = 0.9 + 0.2 * torch.rand(len(inputs), 1, 1, 1, generator=generator)
    return (inputs * scale).clamp(0, 1)


@torch.no_grad()
def probabilities(model: nn.Module, inputs: Tensor) -> Tensor:
    return torch.cat([model(rows).softmax(1) for rows in inputs.split(32)])


def _sizes(set_name: str) -> tuple[int, int]:
    if set_name in SYNTHETIC:
        return SHIPPED[SYNTHETIC[set_name][0]]
    return REAL_SETS[set_name].n_stains, 2


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--data", type=Path, default=DEFAULT_DATA)
    parser.add_argument("--sets", nargs="+", default=[*REAL_SETS], choices=[*REAL_SETS])
    arguments = parser.parse_args()
    for name in arguments.sets:
        held_out = REAL_SETS[name].load(arguments.data, "reporting")
        for architecture in ARCHITECTURES:
            model = classifier(name, architecture, arguments.data)
            scores = probabilities(model, held_out.inputs)
            right = (scores.argmax(1) == held_out.labels).double()
            print(f"{name}, {architecture}: accuracy {estimate(right)} on the reporting part")


if __name__ == "__main__":
    main()
