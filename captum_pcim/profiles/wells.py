"""One row a well: the means of what its images and objects were measured as."""

from __future__ import annotations

from typing import TYPE_CHECKING

from captum_pcim.core.warn import warn
from captum_pcim.profiles.positions import well_name
from captum_pcim.profiles.tables import (
    CLASS,
    FEATURES,
    METADATA,
    PLATE,
    WELL,
    ProfileError,
    as_plate_map,
    features_of,
    needed,
)

if TYPE_CHECKING:
    import pandas as pd

OF_IMAGES = ("Stain_Weight_", "Probability_", "Score_")  # columns of images that are measurements
OF_FIELDS = ("Metadata_Site", "Metadata_Z", "Metadata_T")
MOST_NAMED = 5


def per_well(
    images: pd.DataFrame,
    objects: pd.DataFrame | None = None,
    plate_map: pd.DataFrame | None = None,
    by_class: bool = False,
) -> pd.DataFrame:
    """Average what a screen measured over each well.

    Args:
        images: The screen's table of images. Images that are not done are left out.
        objects: Its table of objects, or one that was measured later.
        plate_map: What was done to each well, see :func:`read_plate_map`. Without it there are the
            ``Metadata_`` columns of the load file.
        by_class: A row for each well and class that was explained in it, as maps of different
            classes answer different questions.

    Returns:
        ``Metadata_Plate``, ``Metadata_Well``, with `by_class` ``Metadata_Class``, the other
        ``Metadata_`` columns that are the same all over a well, ``Metadata_Images`` and
        ``Metadata_Objects`` that were averaged; then the means: ``Image_Stain_Weight_<stain>``,
        ``Image_Probability_<class>``, ``Image_Score_<name>`` over images, and
        ``<objects>_Attribution_...`` over objects. Without `by_class` also
        ``Image_ClassShare_<class>``, the share of images that were explained as it.

    Raises:
        ProfileError: If columns are missing.

    Examples:
        >>> images, objects = read_results("results")
        >>> wells = per_well(images, objects, read_plate_map("plate_map.csv"))
    """
    images = _of_wells(images, "images")
    if "Status" in images:
        images = images[images["Status"] == "done"]
    if by_class and "Class" not in images:
        raise ProfileError("images: expected a column 'Class', as by_class was asked for")
    key = [PLATE, WELL, CLASS] if by_class else [PLATE, WELL]
    found = _of_images(images.assign(**{CLASS: images.get("Class", "")}), key, by_class)
    if objects is not None:
        found = found.join(_of_objects(_of_wells(objects, "objects"), images, key))
    table = found.reset_index()
    table = table if plate_map is None else _joined(table, as_plate_map(plate_map))
    features = [name for name in table.columns if FEATURES.fullmatch(name)]
    about = [name for name in table.columns if name not in (*key, *features)]
    return table[[*key, *about, *features]]


def _of_wells(table: pd.DataFrame, argument: str) -> pd.DataFrame:
    missing = [name for name in (PLATE, WELL) if name not in table]
    if missing:
        raise ProfileError(
            f"{argument}: expected the columns of a screen's table, got no {missing}"
        )
    return table.assign(**{WELL: [well_name(well, argument) for well in table[WELL]]})


def _of_images(images: pd.DataFrame, key: list[str], by_class: bool) -> pd.DataFrame:
    pandas = needed("pandas")
    measured = [name for name in images.columns if name.startswith(OF_IMAGES)]
    numbers = images[measured].apply(pandas.to_numeric).add_prefix("Image_")
    if not by_class and "Class" in images:
        shares = pandas.get_dummies(images["Class"].astype(str), dtype=float)
        numbers = numbers.join(shares.add_prefix("Image_ClassShare_"))
    grouped = numbers.join(images[key]).groupby(key)
    about = _same_all_over(images, key)
    return about.join(grouped.size().rename("Metadata_Images")).join(grouped.mean())


def _same_all_over(images: pd.DataFrame, key: list[str]) -> pd.DataFrame:
    """The metadata that has one value in every well, as a load file brings it along."""
    left_out = {*key, CLASS, *OF_FIELDS}
    names = [n for n in images.columns if n.startswith(METADATA) and n not in left_out]
    grouped = images.groupby(key)
    same = [n for n in names if images[n].notna().any() and grouped[n].nunique().le(1).all()]
    return grouped[[*key, *same]].first()[same]


def _of_objects(objects: pd.DataFrame, images: pd.DataFrame, key: list[str]) -> pd.DataFrame:
    if CLASS in key:
        own = objects.get("Class")
        if own is None:
            if "ImageNumber" not in objects or "ImageNumber" not in images:
                raise ProfileError(
                    "objects: expected 'Class' or 'ImageNumber' to tell the class by"
                )
            own = objects["ImageNumber"].map(images.set_index("ImageNumber")["Class"])
        objects = objects.assign(**{CLASS: own})
    grouped = objects.groupby(key)
    names = [name for name in features_of(objects) if not name.startswith("Image_")]
    return grouped.size().to_frame("Metadata_Objects").join(grouped[names].mean())


def _joined(wells: pd.DataFrame, plate_map: pd.DataFrame) -> pd.DataFrame:
    key = [name for name in (PLATE, WELL) if name in plate_map]
    twice = [name for name in plate_map.columns if name in wells and name not in key]
    table = wells.drop(columns=twice).merge(plate_map, on=key, how="left", indicator="_found")
    missing = table.loc[table["_found"] == "left_only", [PLATE, WELL]].drop_duplicates()
    if len(missing):
        shown = [" ".join(row) for row in missing.head(MOST_NAMED).itertuples(index=False)]
        rest = f" and {len(missing) - MOST_NAMED} more" if len(missing) > MOST_NAMED else ""
        warn(f"plate_map: expected a row for every well, got none for {', '.join(shown)}{rest}")
    return table.drop(columns="_found")
