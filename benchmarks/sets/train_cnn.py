"""Trains the classifiers of the synthetic images and saves their weights, some minutes each.

    python -m benchmarks.sets.train_cnn fluorescence
    python -m benchmarks.sets.train_cnn brightfield

An ordinary classifier trained in the ordinary way: cross-entropy; flips, quarter turns and
brightness as augmentation; no masked, blurred or otherwise altered images. Prints accuracy, and how
often the counterfactual of a correctly classified positive is called control, on the held-out seed.
"""

from __future__ import annotations

import argparse
from pathlib import Path

import torch
from torch import Tensor, nn

from captum_pcim.synthetic import synthetic_brightfield, synthetic_fluorescence
from captum_pcim.synthetic.cnn import SHIPPED, LargeKernelCNN, SmallResNet
from captum_pcim.synthetic.images import HELD_OUT_SEED, TRAIN_SEED, SyntheticImages
from captum_pcim.synthetic.packing import packed, unpacked

GENERATORS = {"fluorescence": synthetic_fluorescence, "brightfield": synthetic_brightfield}
ARCHITECTURES = {"SmallResNet": SmallResNet, "LargeKernelCNN": LargeKernelCNN}
WEIGHTS = Path(__file__).parents[2] / "captum_pcim" / "synthetic" / "weights"


def augment(inputs: Tensor, generator: torch.Generator) -> Tensor:
    """Turns and flips a batch as one, and scales the brightness of each image by up to 10 %."""
    turns, flip = torch.randint(4, (2,), generator=generator).tolist()
    turned = torch.rot90(inputs, turns, (2, 3))
    turned = turned.flip(3) if flip % 2 else turned
    scale = 0.9 + 0.2 * torch.rand(len(inputs), 1, 1, 1, generator=generator)
    return (turned * scale).clamp(0, 1)


def train(
    model: nn.Module, images: SyntheticImages, epochs: int, batch: int = 32, seed: int = 0
) -> None:
    generator = torch.Generator().manual_seed(seed)
    optimizer = torch.optim.AdamW(model.parameters(), weight_decay=1e-2)
    steps = epochs * (len(images) // batch)
    schedule = torch.optim.lr_scheduler.OneCycleLR(optimizer, max_lr=5e-3, total_steps=steps)
    model.train()
    for epoch in range(epochs):
        total = 0.0
        order = torch.randperm(len(images), generator=generator)
        for chosen in order[: len(order) // batch * batch].split(batch):
            logits = model(augment(images.inputs[chosen], generator))
            loss = nn.functional.cross_entropy(logits, images.labels[chosen])
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
            schedule.step()
            total += loss.item() * batch
        print(f"epoch {epoch + 1:3d}  loss {total / len(images):.4f}", flush=True)
    model.eval()


@torch.no_grad()
def predict(model: nn.Module, inputs: Tensor) -> Tensor:
    return torch.cat([model(chunk).argmax(1) for chunk in inputs.split(64)])


def accuracy_and_flip_rate(model: nn.Module, images: SyntheticImages) -> tuple[float, float]:
    """Share called right, and share of right positives whose counterfactual is called control."""
    right = predict(model, images.inputs) == images.labels
    scored = right & (images.labels > 0)
    flipped = predict(model, images.counterfactual[scored]) == 0
    return right.double().mean().item(), flipped.double().mean().item()


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("images", choices=GENERATORS)
    parser.add_argument("--architecture", choices=ARCHITECTURES, default="SmallResNet")
    parser.add_argument("--out", type=Path, help="default: the weights that ship")
    parser.add_argument("--n", type=int, default=4000, help="training images")
    parser.add_argument("--epochs", type=int, default=14)
    arguments = parser.parse_args()
    if arguments.architecture != "SmallResNet" and arguments.out is None:
        parser.error("only SmallResNet ships: say --out for another architecture")

    torch.manual_seed(0)
    model = ARCHITECTURES[arguments.architecture](*SHIPPED[arguments.images])
    generate = GENERATORS[arguments.images]
    train(model, generate(arguments.n, seed=TRAIN_SEED), arguments.epochs)
    shipped = packed(model.state_dict())
    model.load_state_dict(unpacked(shipped, model.state_dict()))  # what ships is what is scored
    accuracy, flipped = accuracy_and_flip_rate(model, generate(1000, seed=HELD_OUT_SEED))
    print(f"held-out accuracy {accuracy:.4f}, counterfactual called control {flipped:.4f}")

    out = arguments.out or WEIGHTS / f"{arguments.images}.pt"
    out.parent.mkdir(parents=True, exist_ok=True)
    torch.save(shipped, out)
    print(f"{out}: {out.stat().st_size / 1000:.0f} kB")


if __name__ == "__main__":
    main()
