"""What can be told of each map once it is trained."""

from collections.abc import Sequence
from dataclasses import dataclass, fields
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor

from captum_pcim._extras import needed
from captum_pcim.core import diagnostics_table

if TYPE_CHECKING:
    import pandas


@dataclass(frozen=True, repr=False)
class Diagnostics:
    """One row per image, on the CPU. Probabilities are those of the target.

    Printed, or as the last line of a notebook's cell, it is a table. Its length is the number of
    images, and indices and slices select images: `diagnostics[0]` is what is told of the first.
    `torch.save` writes it, and `torch.load` reads it with `weights_only=True`.

    Args:
        target (Tensor): The class that was explained, of shape (N,), int64; 0 for a single score.
        full_probability (Tensor): On the image itself, of shape (N,).
        preserved_probability (Tensor): On the blend with the trained weights, averaged over the
            references, of shape (N,).
        removed_probability (Tensor): On the complement, averaged over the references, (N,).
        area (Tensor): Mean weight over all pixels, in [0, 1], of shape (N,).
        leak_ratio (Tensor): The blend's probability over the image's, of the reference where it
            is farthest from 1, of shape (N,). Clearly above 1, the mask does not show the
            evidence, it makes it up; clearly below, it does not suffice.
        n_steps (Tensor): Steps taken before the image was finished, of shape (N,), int64.
        n_forwards (Tensor): Forward passes spent on the image, all told, of shape (N,), int64.
        verdict (tuple of str): Of each image, "explained" or the first doubt in words.
        reference_probability (Tensor): On each reference itself, of shape (N, R).
        preserved_by_reference (Tensor): On the blend with each reference, of shape (N, R).
        removed_by_reference (Tensor): On its complement, of shape (N, R).
        loss_history (Tensor): The objective at each step, of shape (N, n_steps); NaN after the
            image was finished.
        stain_weights (tuple of Tensor or None): Weight of each stain, (N, C) per input, where
            isolation is factorised.

    Examples:
        >>> maps, diagnostics = PCIM(model).attribute(inputs, target=1, return_diagnostics=True)
        >>> diagnostics.verdict[0]
        'explained'
    """

    target: Tensor
    full_probability: Tensor
    preserved_probability: Tensor
    removed_probability: Tensor
    area: Tensor
    leak_ratio: Tensor
    n_steps: Tensor
    n_forwards: Tensor
    verdict: tuple[str, ...]
    reference_probability: Tensor
    preserved_by_reference: Tensor
    removed_by_reference: Tensor
    loss_history: Tensor
    stain_weights: tuple[Tensor, ...] | None = None

    def __len__(self) -> int:
        """Return the number of images."""
        return len(self.verdict)

    def __getitem__(self, index: int | slice) -> "Diagnostics":
        """Return what is told of one image, or of several: again one row per image."""
        chosen = range(len(self))[index]  # raises where there is no such image
        rows = list(chosen) if isinstance(chosen, range) else [chosen]
        values = {field.name: getattr(self, field.name) for field in fields(self)}
        stains, verdict = values.pop("stain_weights"), values.pop("verdict")
        return Diagnostics(
            **{name: value[rows] for name, value in values.items()},
            verdict=tuple(verdict[row] for row in rows),
            stain_weights=stains and tuple(s[rows] for s in stains),
        )

    def to_dataframe(self) -> "pandas.DataFrame":
        """Return the table as a data frame, without what has several values per image.

        Raises:
            ImportError: If pandas is not installed.
        """
        library = needed("pandas", "to_dataframe needs", "pandas")
        index = library.RangeIndex(len(self), name="image")
        table: pandas.DataFrame = library.DataFrame(diagnostics_table.columns(self), index=index)
        return table

    def __repr__(self) -> str:
        """Return the table as text."""
        return diagnostics_table.as_text(self)

    def _repr_html_(self) -> str:
        return diagnostics_table.as_html(self)

    @staticmethod
    def concatenate(parts: Sequence["Diagnostics"]) -> "Diagnostics":
        """Join the diagnostics of several chunks of one call."""
        others = ("stain_weights", "verdict")
        names = [field.name for field in fields(Diagnostics) if field.name not in others]
        verdict = tuple(text for part in parts for text in part.verdict)
        joined = {name: torch.cat([getattr(part, name) for part in parts]) for name in names}
        stains = [part.stain_weights for part in parts if part.stain_weights is not None]
        stain_weights = tuple(torch.cat(s) for s in zip(*stains, strict=True)) if stains else None
        return Diagnostics(**joined, verdict=verdict, stain_weights=stain_weights)

    def __getattr__(self, name: str) -> Any:
        """Say what went wrong where the pair of maps and diagnostics is taken for tensors."""
        raise _no_tensor("Diagnostics", name)


class _PairedMaps(tuple[Tensor, ...]):
    """Maps of a tuple of inputs, which stand beside diagnostics."""

    def __getattr__(self, name: str) -> Any:
        """Say what went wrong where the pair of maps and diagnostics is taken for tensors."""
        raise _no_tensor("tuple", name)


def paired(
    maps: Tensor | tuple[Tensor, ...], diagnostics: Diagnostics
) -> tuple[Tensor | tuple[Tensor, ...], Diagnostics]:
    """Return what `attribute` returns where diagnostics are asked for."""
    return maps if isinstance(maps, Tensor) else _PairedMaps(maps), diagnostics


def _no_tensor(kind: str, name: str) -> AttributeError:
    if not hasattr(Tensor, name) or name.startswith("__"):
        return AttributeError(f"{kind!r} object has no attribute {name!r}")
    return AttributeError(
        f"{kind} has no {name!r}: return_diagnostics=True returns a pair of maps and diagnostics; "
        "inside NoiseTunnel or sensitivity_max leave it out"
    )


if hasattr(torch.serialization, "add_safe_globals"):  # torch 2.3 has no such list
    torch.serialization.add_safe_globals([Diagnostics])
