"""The overview: one HTML page per plate and one of all plates, readable without a network.

The pages hold their pictures and styles and run no script; every text is escaped.
"""

from __future__ import annotations

import base64
import hashlib
import re
from collections.abc import Iterable, Sequence
from html import escape
from typing import Any

from captum_pcim._version import __version__
from captum_pcim.explainer import DIAGNOSTICS
from captum_pcim.screen.config import ScreenConfig
from captum_pcim.screen.heat_map import draw_heat_map
from captum_pcim.screen.plate import row_and_column
from captum_pcim.screen.results import IMAGE, MAP
from captum_pcim.screen.store import Store
from captum_pcim.screen.tables import Row

CAPTION = ("full_probability", "preserved_probability", "removed_probability", "area")
EXAMPLES = 4  # best and worst images per class
MOST_CLASSES = 12  # heat maps per plate
MOST_FAILURES = 200

PAGE = """<!DOCTYPE html>
<html lang="en"><head><meta charset="utf-8">
<meta http-equiv="Content-Security-Policy"
 content="default-src 'none'; img-src data:; style-src 'unsafe-inline'">
<title>{title}</title><style>
body {{ font: 15px/1.4 sans-serif; margin: 2em auto; max-width: 70em; padding: 0 1em }}
table {{ border-collapse: collapse }} td, th {{ padding: .15em .6em; text-align: left }}
tr:nth-child(even) {{ background: #f4f4f4 }} img.plate {{ width: 48% }}
figure {{ display: inline-block; margin: .5em; vertical-align: top }}
figcaption {{ font-size: 12px }}
figure img {{ height: 11em; margin-right: 3px; image-rendering: pixelated }}
</style></head><body><h1>{title}</h1>
{body}
<p>captum-pcim {version}</p></body></html>
"""


def write_report(config: ScreenConfig, images: Sequence[Row], store: Store) -> None:
    """Writes ``overview.html`` and, in ``plates``, a page and heat maps for each plate.

    Pages and pictures of plates that are no longer there go.

    Args:
        config: The screen.
        images: Rows of the image table.
        store: The results.
    """
    plates: dict[str, list[Row]] = {}
    for row in images:
        plates.setdefault(row["Metadata_Plate"], []).append(row)
    links = []
    written: set[str] = set()
    for plate, rows in plates.items():
        name = safe_name(plate)
        body = "\n".join(_plate_sections(config, plate, rows, store, written))
        _write_page(store, f"plates/{name}.html", f"Plate {plate}", body)
        written.add(f"{name}.html")
        link = f'<a href="plates/{name}.html">{escape(plate)}</a>'
        links.append([link, *map(str, _counts(rows).values())])
    head = ["Plate", *_counts([])]
    _write_page(store, "overview.html", "Screen", _table(head, links))
    for path in (store.path / "plates").glob("*"):
        if path.suffix in (".html", ".png") and path.name not in written:
            path.unlink()


def safe_name(text: str) -> str:
    """A file name for any text; texts that differ get names that differ."""
    safe = re.sub(r"[^A-Za-z0-9_-]", "_", text)[:60]
    return (
        safe if text and safe == text else f"{safe}-{hashlib.sha256(text.encode()).hexdigest()[:8]}"
    )


def _plate_sections(
    config: ScreenConfig, plate: str, rows: list[Row], store: Store, written: set[str]
) -> Iterable[str]:
    counts = ", ".join(f"{count} {name}" for name, count in _counts(rows).items())
    done = [row for row in rows if row["Status"] == "done"]
    yield f"<p>{counts}</p>"
    explained = [row for row in done if row["Class"]]  # a field without cells has no class
    yield from _heat_maps(plate, explained, store, written)
    if config.output.previews:
        yield "<h2>Images and maps</h2>"
        yield from _examples(explained, store)
    yield "<h2>Wells</h2>"
    yield _wells(rows)
    noted = [row for row in done if row["Notes"]]
    if noted:
        yield "<h2>Warnings</h2>"
        yield _notes(noted)
    bad = [row for row in rows if row["Status"] != "done"]
    if bad:
        yield "<h2>Not done</h2>"
        yield _failures(bad)


def _heat_maps(plate: str, done: list[Row], store: Store, written: set[str]) -> Iterable[str]:
    classes = [name for name in (done[0] if done else {}) if name.startswith("Probability_")]
    for name in classes[:MOST_CLASSES]:
        label = name.removeprefix("Probability_")
        values = _means(done, name)
        picture = draw_heat_map(values, f"{plate}: mean probability of {label}")
        file = f"{safe_name(plate)}-{safe_name(label)}.png"
        with store.replacing(f"plates/{file}") as path:
            path.write_bytes(picture)
        written.add(file)
        yield f'<img class="plate" alt="probability of {escape(label)}" src="{_data(picture)}">'


def _means(rows: list[Row], name: str) -> dict[str, float]:
    values: dict[str, list[float]] = {}
    for row in rows:
        values.setdefault(row["Metadata_Well"], []).append(row[name])
    return {well: sum(found) / len(found) for well, found in values.items()}


def _examples(done: list[Row], store: Store) -> Iterable[str]:
    for label in sorted({row["Class"] for row in done}):
        ranked = sorted(
            (r for r in done if r["Class"] == label),
            key=lambda r: (-r["full_probability"], r["ImageNumber"]),
        )
        yield f"<h3>{escape(label)}: most certain</h3>"
        yield "".join(_figure(row, store) for row in ranked[:EXAMPLES])
        least = ranked[EXAMPLES:][-EXAMPLES:]
        if least:
            yield f"<h3>{escape(label)}: least certain</h3>"
            yield "".join(_figure(row, store) for row in least)


def _figure(row: Row, store: Store) -> str:
    folder = store.path / row["Result"]
    pictures = "".join(
        f'<img alt="{name}" src="{_data((folder / file).read_bytes())}">'
        for name, file in (("image", IMAGE), ("map", MAP))
        if (folder / file).is_file()  # done before previews were switched on, it has none
    )
    numbers = ", ".join(f"{name.replace('_', ' ')} {row[name]:.3g}" for name in CAPTION)
    place = escape(f"{row['Metadata_Well']} field {row['Metadata_Site']}")
    return f"<figure>{pictures}<figcaption>{place}<br>{numbers}</figcaption></figure>"


def _wells(rows: list[Row]) -> str:
    wells: dict[str, list[Row]] = {}
    for row in rows:
        wells.setdefault(row["Metadata_Well"], []).append(row)
    table = []
    for well in sorted(wells, key=row_and_column):
        done = [row for row in wells[well] if row["Status"] == "done"]
        found = [_typical([row[name] for row in done]) for name in ("Class", *DIAGNOSTICS)]
        table.append([escape(well), f"{len(done)}/{len(wells[well])}", *map(escape, found)])
    head = ["Well", "Done", "Class", *(name.replace("_", " ") for name in DIAGNOSTICS)]
    return _table(head, table)


def _typical(values: Sequence[Any]) -> str:
    """The mean of numbers, the commonest of texts."""
    known = [value for value in values if value is not None]
    if known and isinstance(known[0], str):
        return str(max(sorted(set(known)), key=known.count))
    return f"{sum(known) / len(known):.4g}" if known else ""


def _notes(noted: list[Row]) -> str:
    images: dict[str, list[str]] = {}
    for row in noted:
        place = f"{row['Metadata_Well']} field {row['Metadata_Site']}"
        for note in row["Notes"].split("; "):
            images.setdefault(note, []).append(place)
    rows = [
        [escape(note), str(len(places)), escape(", ".join(places[:EXAMPLES]))]
        for note, places in images.items()
    ]
    return _table(["Warning", "Images", "For example"], rows)


def _failures(bad: list[Row]) -> str:
    rows = [
        [
            escape(row["Metadata_Well"]),
            escape(row["Metadata_Site"]),
            row["Status"],
            escape(row["Reason"]),
        ]
        for row in bad[:MOST_FAILURES]
    ]
    more = len(bad) - len(rows)
    table = _table(["Well", "Field", "Status", "Reason"], rows)
    return table + (f"<p>and {more} more, see the image table</p>" if more else "")


def _counts(rows: list[Row]) -> dict[str, int]:
    found = [row["Status"] for row in rows]
    return {"images": len(rows), **{s: found.count(s) for s in ("done", "failed", "missing")}}


def _table(head: Sequence[str], rows: Iterable[Sequence[Any]]) -> str:
    """A table of cells that are HTML already."""
    lines = ["<tr>" + "".join(f"<th>{name}</th>" for name in head) + "</tr>"]
    lines += ["<tr>" + "".join(f"<td>{cell}</td>" for cell in row) + "</tr>" for row in rows]
    return "<table>\n" + "\n".join(lines) + "\n</table>"


def _data(png: bytes) -> str:
    return "data:image/png;base64," + base64.b64encode(png).decode()


def _write_page(store: Store, name: str, title: str, body: str) -> None:
    page = PAGE.format(title=escape(title), body=body, version=__version__)
    with store.replacing(name) as path:
        path.write_text(page, encoding="utf-8")
