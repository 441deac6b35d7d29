"""The default method word by word, as docs/method.md tells it, for a single image.

Written to be read beside the documentation, not to be fast: no batches, no smoothing, no early
stop, one loop. The package has to give the same map.
"""

import math
from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor


@dataclass(frozen=True)
class Numbers:
    """Every number that the documentation states."""

    n_steps: int = 46
    learning_rate: float = 0.5
    initial_logit: float = 0.0
    preservation: float = 1.0
    removal: float = 1.0
    price: float = 3.0
    steps_of_the_price: int = 46
    floor: float = 0.02
    most_log_odds: float = 8.0
    margin: float = 0.1
    least_difference: float = 0.25
    span: float = 8.0
    most_gain: float = 8.0
    settling: float = 2 / 3
    memory: float = 0.35
    level: float = 0.65
    effect: float = 0.15
    least_effects: float = 0.25
    top_logit: float = 3.0
    most_lift: float = 4.0
    settled: float = 2.0
    first_beta: float = 0.8
    second_beta: float = 0.9
    own_share: float = 0.5  # of each logit's own gradient in the size of its step


def literal_map(log_odds, image: Tensor, references: list[Tensor], numbers: Numbers) -> Tensor:
    """Train the weights of one image.

    Args:
        log_odds: From images (N, ...) to the target's log-odds (N,).
        image: Of shape (1, ...), float64; every element is a channel.
        references: What stands where nothing is mixed in, each shaped like the image.
        numbers: The method's.
    """
    n = numbers
    price = n.price * max(1, n.steps_of_the_price / n.n_steps)
    full = log_odds(image)
    temperature = n.most_log_odds / full.abs().clamp_min(n.most_log_odds)
    full = temperature * full
    boundaries, gains = [], []
    for reference in references:
        low = torch.minimum(temperature * log_odds(reference), full - n.least_difference)
        margin = n.margin * (full - low)
        boundaries.append(torch.zeros_like(full).clamp(low + margin, full - margin))
        gains.append((n.span / (full - low)).clamp(1, n.most_gain))

    effects = torch.zeros_like(image)
    for reference in references:
        even = torch.full_like(image, n.level).requires_grad_()
        kept = temperature * log_odds(reference + even * (image - reference))
        left = temperature * log_odds(reference + (1 - even) * (image - reference))
        effects = effects + torch.autograd.grad((kept - left).sum(), even)[0]
    size = effects.square().mean().sqrt().clamp_min(n.least_effects / effects.numel())
    effects = (effects / size).clamp(-1, 1)

    logits = torch.full_like(image, n.initial_logit).requires_grad_()
    first, second = torch.zeros_like(image), torch.zeros_like(image)
    seen, last, holds = [], None, [True] * len(references)
    for step in range(n.n_steps):
        which = step % len(references)
        reference, boundary, gain = references[which], boundaries[which], gains[which]
        weights = logits.sigmoid()
        kept = temperature * log_odds(reference + weights * (image - reference))
        left = temperature * log_odds(reference + (1 - weights) * (image - reference))
        kept, left = gain * (kept - boundary), gain * (left - boundary)
        loss = (
            n.preservation * F.softplus(-kept)
            + n.removal * F.softplus(left)
            + price * (weights.mean() + n.floor).log()
        )
        (gradient,) = torch.autograd.grad(loss.sum(), logits)

        holds[which] = bool(kept >= 0) and bool(left < 0)
        seen.append(weights.detach())
        if step < n.settling * n.n_steps or all(holds):
            last = weights.detach()

        first = n.first_beta * first + (1 - n.first_beta) * gradient
        second = n.second_beta * second + (1 - n.second_beta) * gradient**2
        mean, square = (
            first / (1 - n.first_beta ** (step + 1)),
            second / (1 - n.second_beta ** (step + 1)),
        )
        over_image = square.mean().sqrt()
        size = square.sqrt() ** n.own_share * over_image ** (1 - n.own_share)
        logits = (logits - n.learning_rate * mean / size).detach().requires_grad_()

    fade = [math.exp((step - n.n_steps) / (n.memory * n.n_steps)) for step in range(n.n_steps)]
    average = sum(f * weights for f, weights in zip(fade, seen, strict=True)) / sum(fade)
    # Without smoothing the averages over neighbours, of like brightness or all, are the effects.
    order = (average + n.effect * (effects + effects)).flatten().argsort(stable=True)
    lift = (n.top_logit - last.logit().max()).clamp(0, n.most_lift)
    found = torch.empty_like(last).flatten()
    logit = last.logit() + lift
    logit = torch.where(logit < 0, n.settled * logit, logit)
    found[order] = logit.sigmoid().flatten().sort().values
    return found.view_as(image) * (1 + effects.clamp_max(0))
