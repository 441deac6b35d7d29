"""The overview: a page of all plates and one of each, readable from a file share without a server.

A page holds its numbers, style and script; pictures lie beside it in the results folder. Nothing is
loaded from elsewhere, and templates escape every text.
"""

from __future__ import annotations

import base64
import hashlib
import re
from collections.abc import Sequence
from importlib import resources
from typing import Any
from urllib.parse import quote

from captum_pcim._extras import needed
from captum_pcim._version import __version__
from captum_pcim.screen.config import ScreenConfig
from captum_pcim.screen.page_data import plate_data, strongest_objects
from captum_pcim.screen.page_profile import read_profiles
from captum_pcim.screen.store import Store
from captum_pcim.screen.tables import Row

MOST_FAILURES = 200
MOST_CLASSES = 12  # whose best wells the overview links to


def write_report(config: ScreenConfig, images: Sequence[Row], store: Store) -> None:
    """Writes ``overview.html`` and, in ``plates``, a page for each plate.

    Pages of plates that are no longer there go. The profiles of wells, where ``captum-pcim
    profiles`` has made them, are shown as they are.

    Args:
        config: The screen.
        images: Rows of the image table.
        store: The results.

    Raises:
        ImportError: Jinja2 is not installed.
        StoreError: The results folder cannot be written.
    """
    pages = _Pages(store)
    objects, profiles = strongest_objects(config, store), read_profiles(store)
    plates: dict[str, list[Row]] = {}
    for row in images:
        plates.setdefault(row["Metadata_Plate"], []).append(row)
    for plate, rows in plates.items():
        bad = [row for row in rows if row["Status"] != "done"]
        pages.write(
            f"plates/{safe_name(plate)}.html",
            "plate.html",
            title=f"Plate {plate}",
            counts=", ".join(f"{count} {name}" for name, count in _counts(rows).items()),
            data={"plate": plate, **plate_data(config, rows, store, objects, profiles)},
            notes=_notes(rows),
            failures=bad[:MOST_FAILURES],
            more=len(bad[MOST_FAILURES:]),
        )
    listed = [
        {
            "name": plate,
            "file": f"{safe_name(plate)}.html",
            "counts": _counts(rows),
            "best": _best_wells(rows),
        }
        for plate, rows in plates.items()
    ]
    pages.write("overview.html", "overview.html", title="Screen", plates=listed, counts=_counts([]))
    written = {plate["file"] for plate in listed}
    for path in (store.path / "plates").glob("*.html"):
        if path.name not in written:
            path.unlink()


def safe_name(text: str) -> str:
    """A file name for any text; texts that differ get names that differ."""
    safe = re.sub(r"[^A-Za-z0-9_-]", "_", text)[:60]
    digest = hashlib.sha256(text.encode(errors="surrogatepass")).hexdigest()
    return safe if text and safe == text else f"{safe}-{digest[:8]}"


def _counts(rows: Sequence[Row]) -> dict[str, int]:
    found = [row["Status"] for row in rows]
    return {"images": len(rows), **{s: found.count(s) for s in ("done", "failed", "missing")}}


def _notes(rows: Sequence[Row]) -> dict[str, list[dict[str, str]]]:
    """Where each warning was given."""
    places: dict[str, list[dict[str, str]]] = {}
    for row in rows:
        well, field = row["Metadata_Well"], row["Metadata_Site"]
        place = {"name": f"{well} field {field}", "link": f"#{well}/{quote(field, safe='')}"}
        for note in filter(None, (row.get("Notes") or "").split("; ")):
            places.setdefault(note, []).append(place)
    return places


def _best_wells(rows: Sequence[Row]) -> dict[str, str]:
    """The well of the highest mean probability, or quantity, of each class."""
    done = [row for row in rows if row["Status"] == "done"]
    names = [n for n in (done[0] if done else {}) if n.startswith(("Probability_", "Score_"))]
    best = {}
    for name in names[:MOST_CLASSES]:
        wells: dict[str, list[float]] = {}
        for row in done:
            if row.get(name) is not None:
                wells.setdefault(row["Metadata_Well"], []).append(row[name])
        if wells:
            label = name.partition("_")[2]
            best[label] = max(wells, key=lambda well: sum(wells[well]) / len(wells[well]))
    return best


class _Pages:
    """Fills the templates of ``pages``, each page complete under its name or not at all."""

    def __init__(self, store: Store) -> None:
        jinja2 = needed("jinja2", "the overview needs", "screen")
        folder = resources.files("captum_pcim.screen") / "pages"
        names = ("base.html", "plate.html", "overview.html")
        self.store = store
        self.style, self.script = (
            (folder / name).read_text("utf-8") for name in ("page.css", "plate.js")
        )
        self.templates = jinja2.Environment(
            loader=jinja2.DictLoader({name: (folder / name).read_text("utf-8") for name in names}),
            autoescape=True,
            trim_blocks=True,
            undefined=jinja2.StrictUndefined,
        )

    def write(self, name: str, template: str, **told: Any) -> None:
        from markupsafe import Markup

        page = self.templates.get_template(template).render(
            **told,
            version=__version__,
            policy=self._policy(),
            style=Markup(self.style),  # the package's own files, which are no one's text
            script=Markup(self.script),
        )
        with self.store.replacing(name) as path:
            path.write_text(page, encoding="utf-8")

    def _policy(self) -> str:
        """Nothing runs but this very script, and nothing is loaded but pictures beside the page."""
        return (
            "default-src 'none'; img-src 'self' file:; "
            f"style-src {_digest(self.style)}; script-src {_digest(self.script)}"
        )


def _digest(text: str) -> str:
    return f"'sha256-{base64.b64encode(hashlib.sha256(text.encode()).digest()).decode()}'"
