"""Model files that may run code when they are loaded: TorchScript, exported programs, pickles.

TorchScript calls ``torch.save`` and ``torch.from_file``, which reach any file; an exported program
(``.pt2``) unpickles some of its records and looks its operators up by name; a pickled module is a
program. torch has no safe way to read them, so the caller has to say that a file is trusted.
"""

from __future__ import annotations

import zipfile
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor, nn

from captum_pcim._compat import scores_of
from captum_pcim._errors import silenced
from captum_pcim.core.network import checked_scores, filled_up, static_rows

if TYPE_CHECKING:
    from torch.export import ExportedProgram  # torch imports it when it is needed

_EXPORTED = {"archive_format", "serialized_exported_program.json"}  # since torch 2.8, and before


def load_trusted(path: str) -> Any:
    """Load what is in a file, running the code that may be in it.

    Args:
        path: TorchScript (``torch.jit.save``), an exported program (``torch.export.save``), or
            anything that ``torch.save`` wrote.

    Returns:
        The module, or whatever else was saved, on the CPU.

    Raises:
        Exception: Of many types, if the file is damaged or of another kind.
        ValueError: If the program was exported in training mode.
    """
    records = _record_names(path)
    if "constants.pkl" in records:
        return torch.jit.load(path, map_location="cpu")
    if records & _EXPORTED:
        return _load_exported(path)
    return torch.load(path, map_location="cpu", weights_only=False)


def _load_exported(path: str) -> Any:
    with silenced("torch.export"):
        program = torch.export.load(path)
        if _trains(program):
            raise ValueError("exported in training mode: call model.eval() before the export")
        module = program.module()
    rows = static_rows(module)
    return module if rows is None else StaticBatches(module, rows)


class StaticBatches(nn.Module):
    """A program that was exported for so many images at once, for any number of them.

    Args:
        program: The program.
        rows: How many images it takes. What is missing of them is filled up with the last one.
    """

    def __init__(self, program: nn.Module, rows: int) -> None:
        super().__init__()
        self.program, self.rows = program, rows

    def forward(self, images: Tensor) -> Tensor:
        """Return the scores of images (N, C, H, W), of shape (N, K)."""
        parts = filled_up(len(images), self.rows, images.device)
        found = [scores_of(self.program(images[part])) for part in parts]
        return torch.cat([checked_scores(scores, self.rows) for scores in found])[: len(images)]


def _trains(program: ExportedProgram) -> bool:
    """Whether a program has dropout or batch normalisation in training mode, which it keeps."""
    for node in program.graph.nodes:
        named = node.normalized_arguments(program.graph_module, normalize_to_only_use_kwargs=True)
        if named and True in (named.kwargs.get("train"), named.kwargs.get("training")):
            return True
    return False


def _record_names(path: str) -> set[str]:
    """The names of an archive's records, without folders; none of other files."""
    try:
        with zipfile.ZipFile(path) as archive:
            return {name.rpartition("/")[2] for name in archive.namelist()}
    except (zipfile.BadZipFile, ValueError, NotImplementedError):
        return set()
