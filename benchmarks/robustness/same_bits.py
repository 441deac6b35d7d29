"""Do two states of the package give the same maps, bit for bit?

``python -m benchmarks.robustness.same_bits --write before.json`` writes the SHA-256 of the tensors
of every mode of `attribute`; after a change that may not change a map, ``--against before.json``
compares and the exit status says whether all are equal. Bits differ between machines and versions
of torch, so both runs belong on one machine.
"""

from __future__ import annotations

import argparse
import hashlib
import json
import sys
import warnings
from pathlib import Path
from typing import Any

import torch

import captum_pcim
from benchmarks.robustness.measures import tensors_in
from benchmarks.robustness.modes import cases


def digest(result: Any) -> list[str]:
    """Return the SHA-256 of every tensor's shape, dtype and bytes."""
    return [
        hashlib.sha256(f"{tuple(t.shape)} {t.dtype} ".encode() + t.contiguous().numpy().tobytes())
        .hexdigest()[:16]
        for t in tensors_in(result)
    ]  # fmt: skip


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--write", type=Path, help="where to write the digests of this state")
    parser.add_argument("--against", type=Path, help="digests of another state to compare with")
    args = parser.parse_args()
    torch.set_num_threads(1)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        now = {name: digest(call()) for name, call in cases()}
    print(f"captum_pcim {captum_pcim.__version__}, torch {torch.__version__}: "
          f"{len(now)} modes, {sum(map(len, now.values()))} tensors")  # fmt: skip
    if args.write:
        args.write.write_text(json.dumps(now, indent=1))
    if not args.against:
        return 0
    before = json.loads(args.against.read_text())
    differing = [name for name in before | now if before.get(name) != now.get(name)]
    for name in before | now:
        print(f"{'DIFFERS' if name in differing else 'same bits':10} {name}")
    return 1 if differing else 0


if __name__ == "__main__":
    sys.exit(main())
