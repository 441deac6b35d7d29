"""What README tells a reader to type."""

from __future__ import annotations

import re
import sys
from pathlib import Path

README = Path(sys.argv[1])


def blocks(language: str) -> list[str]:
    """The blocks of code in a language, in their order."""
    text = README.read_text(encoding="utf-8")
    return re.findall(rf"^```{language}\n(.*?)^```$", text, re.MULTILINE | re.DOTALL)


def commands(start: str) -> list[str]:
    """The shell commands that begin so, without their comments."""
    lines = "\n".join(blocks("bash")).splitlines()
    return [line.partition("  #")[0].strip() for line in lines if line.startswith(start)]
