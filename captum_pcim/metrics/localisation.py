r"""Does the map lie on the object? Measures against a mask, a label image or boxes.

All measures sum attributions over the stains first. Shares of mass count the positive part only
(`relevance_mass_accuracy`, `object_shares`); measures of rank read the signed sum. Equal values are
shared out evenly, as if ordered at random and averaged, so a constant map, or one that is zero
everywhere, scores exactly the chance level. An image whose mask is empty has no answer and gives
NaN (use `nanmean` over images); so does `auroc` where the mask is full. Print `chance_levels`
beside any of these figures: on a mask of half the image a mass accuracy of 0.6 says little.
"""

from collections.abc import Sequence

import torch
from torch import Tensor

from captum_pcim.metrics.relevance import (
    as_label_image,
    as_masks,
    pixel_relevance,
    positive_relevance,
)


@torch.no_grad()
def relevance_mass_accuracy(attributions: Tensor, masks: Tensor) -> Tensor:
    r"""Share of the positive relevance that lies inside the mask.

    RMA = sum_{p in mask} r_p / sum_p r_p, range [0, 1], **higher is better**, chance: the mask's
    share of the area. Source: Arras, Osman, Samek (Information Fusion 2022, arXiv 2003.07258);
    the same figure is called the energy-based pointing game by Wang et al. (2020).

    Args:
        attributions: Attributions of shape (N, C, H, W).
        masks: Masks (bool) or label images (integers, 0 is background) of shape (N, 1, H, W) or
            (N, H, W).

    Returns:
        Accuracies of shape (N,); NaN where the mask is empty.

    Raises:
        TypeError: if `masks` holds floating point numbers.
        ValueError: if shapes do not fit or attributions are not finite.

    Examples:
        >>> attributions = torch.tensor([[[[3.0, 1.0], [0.0, -5.0]]]])
        >>> masks = torch.tensor([[[True, False], [False, True]]])
        >>> relevance_mass_accuracy(attributions, masks)
        tensor([0.7500])
    """
    relevance = _shares(positive_relevance(attributions))
    inside = as_masks(masks, relevance)
    return _nan_where(~inside.flatten(1).any(1), (relevance * inside).flatten(1).sum(1))


@torch.no_grad()
def relevance_rank_accuracy(attributions: Tensor, masks: Tensor) -> Tensor:
    r"""Share of the K most relevant pixels that lie inside the mask of K pixels.

    RRA = |top_K(r) and mask| / K with K = |mask|, range [0, 1], **higher is better**, chance: the
    mask's share of the area. Source: Arras, Osman, Samek (2022, arXiv 2003.07258). It is
    precision and recall at K at once.

    Args:
        attributions: As in `relevance_mass_accuracy`.
        masks: As in `relevance_mass_accuracy`.

    Returns:
        Accuracies of shape (N,); NaN where the mask is empty.

    Raises:
        TypeError: if `masks` holds floating point numbers.
        ValueError: if shapes do not fit or attributions are not finite.
    """
    relevance, inside = _flat(attributions, masks)
    size = inside.sum(1, keepdim=True)
    descending = relevance.sort(dim=1, descending=True).values
    last = descending.gather(1, (size - 1).clamp(min=0))
    above, tied = relevance > last, relevance == last
    # The pixels tied at rank K fill the places that are left in proportion.
    left = (size - above.sum(1, keepdim=True)).to(relevance.dtype)
    places = left / tied.sum(1, keepdim=True)
    hits = (inside * (above + tied * places)).sum(1)
    return _nan_where(size[:, 0] == 0, hits / size[:, 0])


@torch.no_grad()
def average_precision(attributions: Tensor, masks: Tensor) -> Tensor:
    r"""Area under the precision-recall curve of the pixels.

    AP = sum_t (R_t - R_{t-1}) P_t over the distinct relevances t in descending order, range
    [0, 1], **higher is better**, chance: the mask's share of the area. The same definition as
    scikit-learn's `average_precision_score`.

    Args:
        attributions: As in `relevance_mass_accuracy`.
        masks: As in `relevance_mass_accuracy`.

    Returns:
        Average precisions of shape (N,); NaN where the mask is empty.

    Raises:
        TypeError: if `masks` holds floating point numbers.
        ValueError: if shapes do not fit or attributions are not finite.
    """
    relevance, inside = _flat(attributions, masks)
    descending, order = relevance.sort(dim=1, descending=True)
    hits = inside.gather(1, order).to(descending.dtype)
    group_end = _group_ends(descending)
    precision = hits.cumsum(1).gather(1, group_end) / (group_end + 1)
    size = hits.sum(1)
    return _nan_where(size == 0, (hits * precision).sum(1) / size)


@torch.no_grad()
def auroc(attributions: Tensor, masks: Tensor) -> Tensor:
    r"""Area under the receiver operating characteristic of the pixels.

    The probability that a pixel inside is more relevant than one outside, ties counting a half;
    computed from the ranks as in the Mann-Whitney test. Range [0, 1], **higher is better**,
    chance 0.5. It flatters small objects: on a mask of 1 % of the image, use `average_precision`.

    Args:
        attributions: As in `relevance_mass_accuracy`.
        masks: As in `relevance_mass_accuracy`.

    Returns:
        Areas of shape (N,); NaN where the mask is empty or full.

    Raises:
        TypeError: if `masks` holds floating point numbers.
        ValueError: if shapes do not fit or attributions are not finite.
    """
    relevance, inside = _flat(attributions, masks)
    # Double precision: sums of ranks reach 1e12 on large images.
    positions = middle_ranks(relevance)
    n_inside, n_outside = inside.sum(1), (~inside).sum(1)
    smallest = n_inside * (n_inside - 1) // 2
    wins = (positions * inside).sum(1) - smallest
    area = (wins / (n_inside * n_outside)).to(relevance.dtype)
    return _nan_where((n_inside == 0) | (n_outside == 0), area)


@torch.no_grad()
def pointing_game(attributions: Tensor, masks: Tensor) -> Tensor:
    r"""Whether the most relevant pixel lies inside the mask.

    1 for a hit, 0 for a miss, and the share of hits among the pixels if several share the maximum;
    its mean over images is the pointing accuracy. **Higher is better**, chance: the mask's share of
    the area. Source: Zhang et al. (IJCV 2018, arXiv 1608.00507), here without their tolerance of
    15 pixels around the object; dilate the masks for it.

    Args:
        attributions: As in `relevance_mass_accuracy`.
        masks: As in `relevance_mass_accuracy`.

    Returns:
        Hits of shape (N,); NaN where the mask is empty.

    Raises:
        TypeError: if `masks` holds floating point numbers.
        ValueError: if shapes do not fit or attributions are not finite.
    """
    relevance, inside = _flat(attributions, masks)
    peak = relevance == relevance.amax(1, keepdim=True)
    hits = (peak & inside).sum(1).to(relevance.dtype)
    return _nan_where(~inside.any(1), hits / peak.sum(1))


@torch.no_grad()
def object_shares(attributions: Tensor, label_image: Tensor) -> Tensor:
    r"""Share of the positive relevance that lies on each object.

    share_l = sum_{p: label_p = l} r_p / sum_p r_p, range [0, 1]; each row sums to 1. The share of
    the cells against the background is what Grad-CAMO (arXiv 2403.17615) reports for cell
    painting images. Chance: the object's share of the area, `object_shares` of a constant map.

    Args:
        attributions: As in `relevance_mass_accuracy`.
        label_image: Integer labels of shape (N, 1, H, W) or (N, H, W): 0 is background, objects
            count from 1.

    Returns:
        Shares of shape (N, L + 1), L being the largest label in the batch. Column 0 is the
        background, column l object l. A label that an image does not have gets 0 there.

    Raises:
        TypeError: if `label_image` holds floating point numbers.
        ValueError: if shapes do not fit, a label is negative or attributions are not finite.

    Examples:
        >>> attributions = torch.tensor([[[[3.0, 1.0], [0.0, 4.0]]]])
        >>> object_shares(attributions, torch.tensor([[[1, 1], [0, 2]]]))
        tensor([[0.0000, 0.5000, 0.5000]])
    """
    relevance = _shares(positive_relevance(attributions))
    labels = as_label_image(label_image, relevance).flatten(1)
    shares = relevance.new_zeros(len(labels), int(labels.max()) + 1)
    return shares.scatter_add_(1, labels, relevance.flatten(1))


def boxes_to_masks(boxes: Sequence[Tensor], size: tuple[int, int]) -> Tensor:
    """Draw boxes as masks.

    Args:
        boxes: For each image the boxes (x0, y0, x1, y1) in pixels, shape (M, 4), M >= 0. A box
            holds the pixels x0 <= x < x1 and y0 <= y < y1 and may reach over the edge.
        size: Height and width of the images.

    Returns:
        Masks of shape (N, 1, H, W), the union of each image's boxes.

    Raises:
        ValueError: if a tensor of boxes is not (M, 4) or a box has no positive width or height.

    Examples:
        >>> boxes_to_masks([torch.tensor([[1, 0, 3, 1]])], (2, 3)).int()
        tensor([[[[0, 1, 1],
                  [0, 0, 0]]]], dtype=torch.int32)
    """
    return torch.stack([_draw_boxes(image_boxes, size) for image_boxes in boxes])[:, None]


@torch.no_grad()
def chance_levels(masks: Tensor) -> dict[str, Tensor]:
    """Give the score that an uninformative map reaches on each mask.

    Args:
        masks: Masks (bool) or label images (integers) of shape (N, 1, H, W) or (N, H, W).

    Returns:
        For each measure of this module, by its function's name, the expected score of a constant
        map or (for average precision in the limit of many pixels) a random one, shape (N,). NaN
        where the measure has no answer.
    """
    shape = len(masks), *masks.shape[-2:]
    relevance = torch.ones(shape, dtype=torch.float32, device=masks.device)
    inside = as_masks(masks, relevance).flatten(1)
    area = inside.to(relevance.dtype).mean(1)
    share = _nan_where(area == 0, area)
    half = _nan_where((area == 0) | (area == 1), torch.full_like(area, 0.5))
    measures = (relevance_mass_accuracy, relevance_rank_accuracy, average_precision, pointing_game)
    return {**{measure.__name__: share.clone() for measure in measures}, auroc.__name__: half}


def middle_ranks(values: Tensor) -> Tensor:
    """Rank each row from the smallest (0) to the largest; equal values share their middle rank.

    Args:
        values: Values of shape (N, P).

    Returns:
        Ranks of shape (N, P), float64.
    """
    ascending, order = values.sort(dim=1)
    end = _group_ends(ascending)
    start = values.shape[1] - 1 - _group_ends(ascending.flip(1)).flip(1)
    middle = (start + end).to(torch.float64) / 2
    return torch.empty_like(middle).scatter_(1, order, middle)


def _flat(attributions: Tensor, masks: Tensor) -> tuple[Tensor, Tensor]:
    relevance = pixel_relevance(attributions)
    return relevance.flatten(1), as_masks(masks, relevance).flatten(1)


def _shares(relevance: Tensor) -> Tensor:
    total = relevance.flatten(1).sum(1)[:, None, None]
    # A map without any relevance singles nothing out; it counts as a constant one.
    uniform = torch.full_like(relevance, 1 / relevance[0].numel())
    return torch.where(total > 0, relevance / total, uniform)


def _group_ends(ordered: Tensor) -> Tensor:
    """For each place of sorted rows, the last place that holds the same value."""
    n = ordered.shape[1]
    places = torch.arange(n, device=ordered.device).expand_as(ordered)
    is_end = torch.ones_like(ordered, dtype=torch.bool)
    is_end[:, :-1] = ordered[:, :-1] != ordered[:, 1:]
    return torch.where(is_end, places, n).flip(1).cummin(1).values.flip(1)


def _nan_where(undefined: Tensor, values: Tensor) -> Tensor:
    return values.masked_fill(undefined, float("nan"))


def _draw_boxes(boxes: Tensor, size: tuple[int, int]) -> Tensor:
    if boxes.numel() and (boxes.dim() != 2 or boxes.shape[1] != 4):
        raise ValueError(f"boxes: expected shape (M, 4), got {tuple(boxes.shape)}")
    x0, y0, x1, y1 = boxes.reshape(-1, 4, 1, 1).unbind(1)
    if bool(((x1 <= x0) | (y1 <= y0)).any()):
        raise ValueError(
            f"boxes: expected (x0, y0, x1, y1) with x0 < x1 and y0 < y1, got {boxes.tolist()}"
        )
    y = torch.arange(size[0], device=boxes.device)[None, :, None]
    x = torch.arange(size[1], device=boxes.device)[None, None, :]
    return ((x >= x0) & (x < x1) & (y >= y0) & (y < y1)).any(0)
