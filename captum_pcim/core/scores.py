r"""From whatever a forward function returns to the log-odds of the target.

Every term of the objective reads one number per image, the log-odds of the target,

.. math:: \ell = \log p_c - \log (1 - p_c),

because both :math:`-\log p_c = softplus(-\ell)` and :math:`-\log(1 - p_c) = softplus(\ell)` are
exact in it where probabilities have long rounded to 0 or 1. With a contrast :math:`K` of classes
the probabilities are those among the target and these alone, so that with logits :math:`s`

.. math:: \ell = s_c - \log \sum_{k \in K} e^{s_k}.

What a score means:

- ``"logits"`` (default): the classes are on axis 1 and softmax makes them probabilities.
  Log-probabilities are logits too. A single output is a binary logit: sigmoid makes it one.
- ``"probabilities"``: the classes are on axis 1 and already sum to 1; a single output is the
  probability of the positive class.
- ``"binary_logits"``: every output is a binary logit of its own (multi-label networks).
- ``"binary_probabilities"``: every output is a probability of its own, as multi-label networks
  return that end in a sigmoid.
- ``"regression"``: the output is a quantity. Evidence is what carries it from its value on the
  references, :math:`s_b`, to its value on the image, :math:`s_x`; with
  :math:`r = (s - s_b) / (s_x - s_b)` the log-odds are :math:`4 (2 r - 1)`, so that the image has
  "probability" 0.98 and the references 0.02. This definition is ours, not the paper's.

A forward function may say itself what its scores mean, in an attribute ``score_kind``. It counts
where nothing else was said; :mod:`captum_pcim.classifiers.embeddings` has such ones.
"""

from dataclasses import dataclass
from typing import Any, Literal, get_args

import torch
import torch.nn.functional as F
from torch import Tensor

ScoreKind = Literal[
    "logits", "probabilities", "binary_logits", "binary_probabilities", "regression"
]

DEFAULT_KIND: ScoreKind = "logits"
MAX_LOG_ODDS = 8.0
REGRESSION_LOG_ODDS = 4.0
_NO_WEIGHT = 1e3  # nats; e to the minus that is 0 in double precision, too


@dataclass(frozen=True)
class Scores:
    """The network's answer to a batch of images, for one target each.

    Args:
        log_odds (Tensor): Log-odds of the target, of shape (N,).
        logits (Tensor): Of all classes, of shape (N, K), or (N, 1) of a binary one.
    """

    log_odds: Tensor
    logits: Tensor

    @property
    def probability(self) -> Tensor:
        """The probability of the target, of shape (N,)."""
        return self.log_odds.sigmoid()

    @property
    def log_probabilities(self) -> Tensor:
        """Log-probabilities of all classes, (N, K), for terms that compare distributions."""
        if self.logits.shape[1] > 1:
            return self.logits.log_softmax(dim=1)
        return torch.cat([F.logsigmoid(-self.logits), F.logsigmoid(self.logits)], dim=1)

    def halves(self) -> tuple["Scores", "Scores"]:
        """Split the scores of a batch of blends followed by their complements."""
        odds, logits = self.log_odds.chunk(2), self.logits.chunk(2)
        return Scores(odds[0], logits[0]), Scores(odds[1], logits[1])

    def take(self, rows: Tensor) -> "Scores":
        """Return the scores of some of the images."""
        return Scores(self.log_odds[rows], self.logits[rows])


@dataclass(frozen=True)
class Calibration:
    """Per-image shift and scale that bring scores into a range where gradients live.

    Args:
        offset (Tensor): Subtracted from the scores, of shape (N, 1).
        scale (Tensor): Multiplied to the scores, of shape (N, 1).
    """

    offset: Tensor
    scale: Tensor

    def take(self, rows: Tensor) -> "Calibration":
        """Return the calibration of some of the images."""
        return Calibration(self.offset[rows], self.scale[rows])

    def __call__(self, scores: Tensor) -> Tensor:
        """Apply the calibration to (k N, K) scores: k batches of the same N images."""
        per_batch = scores.unflatten(0, (-1, len(self.offset)))
        calibrated: Tensor = ((per_batch - self.offset) * self.scale).flatten(0, 1)
        return calibrated


def kind_of_scores(forward_func: Any, said: ScoreKind) -> ScoreKind:
    """Return what scores mean: what was said, or where that is the default what the function says.

    Args:
        forward_func (Callable): May have an attribute ``score_kind``.
        said (str): What the caller said, or the default.
    """
    own = getattr(forward_func, "score_kind", None)
    knows = isinstance(own, str) and own in get_args(ScoreKind)
    return own if knows and said == DEFAULT_KIND else said  # type: ignore[return-value]


def tempered(log_odds: Tensor) -> Calibration:
    """Return the temperature that keeps very confident networks from flattening the map.

    Where the network's log-odds on the full image exceed 8 (p = 0.9997) either way, all its
    scores are divided by the same number so that they are 8 there. Logits times 300 then give
    the same map as logits times 30.
    """
    scale = MAX_LOG_ODDS / log_odds.abs().clamp_min(MAX_LOG_ODDS)
    scale = scale.unsqueeze(1)
    return Calibration(torch.zeros_like(scale), scale)


def between(reference_scores: Tensor, image_scores: Tensor) -> Calibration:
    """Return the calibration of regression scores: -4 on the references, +4 on the image.

    Args:
        reference_scores (Tensor): Of the target, averaged over the references, of shape (N,).
        image_scores (Tensor): Of the target on the images, of shape (N,).
    """
    reference_scores, image_scores = reference_scores.unsqueeze(1), image_scores.unsqueeze(1)
    middle, half = (image_scores + reference_scores) / 2, (image_scores - reference_scores) / 2
    tiny = torch.full_like(half, 1e-12).copysign(half)
    half = torch.where(half.abs() < 1e-12, tiny, half)
    return Calibration(middle, REGRESSION_LOG_ODDS / half)


def read_scores(
    scores: Tensor,
    classes: Tensor,
    kind: ScoreKind,
    calibration: Calibration | None = None,
    competing: Tensor | None = None,
) -> Scores:
    """Turn the scores of all classes into the target's log-odds.

    Args:
        scores (Tensor): What the network returned, of shape (N, K).
        classes (Tensor): The target's place on axis 1, of shape (N,).
        kind (str): What the scores mean, see the module's text.
        calibration (Calibration, optional): Applied to the logits.
        competing (Tensor, optional): Which classes share the probability, the target among them, a
            mask of shape (N, K). None: all.

    Returns:
        Scores: In float32, or float64 where the scores are.
    """
    scores = scores if scores.dtype == torch.float64 else scores.float()
    if kind == "probabilities" and scores.shape[1] > 1:
        scores = _log(scores)
    elif kind in ("probabilities", "binary_probabilities"):
        scores = _log(scores) - _log(1 - scores)
    if calibration is not None:
        scores = calibration(scores)
    if competing is not None:
        scores = _among(scores, competing)
    if kind not in ("logits", "probabilities") or scores.shape[1] == 1:
        odds = scores.gather(1, classes.unsqueeze(1))
        return Scores(odds.squeeze(1), odds)
    target_score = scores.gather(1, classes.unsqueeze(1)).squeeze(1)
    others = scores.scatter(1, classes.unsqueeze(1), -torch.inf).logsumexp(dim=1)
    return Scores(target_score - others, scores)


def _among(scores: Tensor, competing: Tensor) -> Tensor:
    """Take the classes out that do not compete: so far below all others that they weigh 0."""
    lowest = scores.detach().masked_fill(~competing, torch.inf).amin(1, keepdim=True)
    return torch.where(competing, scores, lowest - _NO_WEIGHT)


def _log(probabilities: Tensor) -> Tensor:
    return probabilities.clamp_min(torch.finfo(probabilities.dtype).tiny).log()
