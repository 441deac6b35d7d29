"""One row a well: the means of what its images and objects were measured as."""

from __future__ import annotations

from typing import TYPE_CHECKING

from captum_pcim.core.warn import warn
from captum_pcim.profiles.positions import well_names
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
    with_given_class,
)

if TYPE_CHECKING:
    import pandas as pd

OF_NETWORK = ("Stain_Weight_", "Probability_", "Score_")  # of images, or of objects of their own
OF_FIELDS = ("Metadata_Site", "Metadata_Z", "Metadata_T")
COUNTS = ("Metadata_Images", "Metadata_Objects")  # of what was averaged
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
        ``Image_ClassShare_<class>``, the share of images that were explained as it. Objects that
        were explained by themselves have ``<objects>_Probability_<class>`` and so on likewise.

    Raises:
        ProfileError: If columns are missing, or the plate map is of other plates.

    Examples:
        >>> images, objects = read_results("results")
        >>> wells = per_well(images, objects, read_plate_map("plate_map.csv"))
    """
    images = _of_wells(images, "images")
    objects = None if objects is None else _of_wells(objects, "objects")
    found = _by_class(images, objects) if by_class else _by_well(images, objects)
    table = found.reset_index()
    table = table if plate_map is None else _joined(table, as_plate_map(plate_map))
    key = [PLATE, WELL, CLASS] if by_class else [PLATE, WELL]
    features = [name for name in table.columns if FEATURES.fullmatch(name)]
    about = [name for name in table.columns if name not in (*key, *features)]
    return table[[*key, *about, *features]]


def _by_well(images: pd.DataFrame, objects: pd.DataFrame | None) -> pd.DataFrame:
    key = [PLATE, WELL]
    found = _same_all_over(images).join(_averaged(images, key, "Image", shares=True))
    if objects is None:
        return found
    found = found.join(_averaged(objects, key, _called(objects), shares=True))
    return found.fillna({COUNTS[1]: 0}).astype({COUNTS[1]: int})


def _by_class(images: pd.DataFrame, objects: pd.DataFrame | None) -> pd.DataFrame:
    """As objects were explained where they have classes, else as their images were."""
    key = [PLATE, WELL, CLASS]
    if objects is not None and "Class" in objects:
        found = _averaged(objects.assign(**{CLASS: objects["Class"]}), key, _called(objects))
        return found.join(_same_all_over(images), on=key[:2])
    if "Class" not in images:
        raise ProfileError("images: expected a column 'Class', as by_class was asked for")
    found = _averaged(images.assign(**{CLASS: images["Class"]}), key, "Image")
    found = found.join(_same_all_over(images), on=key[:2])
    if objects is None:
        return found
    own = objects.assign(**{CLASS: _of_their_images(objects, images)})
    return found.join(_averaged(own, key, _called(objects)))


def _of_their_images(objects: pd.DataFrame, images: pd.DataFrame) -> pd.Series:
    """The class of the image that each object lies in."""
    if "ImageNumber" not in objects or "ImageNumber" not in images:
        raise ProfileError("objects: expected 'Class' or 'ImageNumber' to tell the class by")
    place = [PLATE, "ImageNumber"]
    classes = images[[*place, "Class"]].drop_duplicates(place)
    return objects[place].merge(classes, on=place, how="left").set_index(objects.index)["Class"]


def _of_wells(table: pd.DataFrame, argument: str) -> pd.DataFrame:
    missing = [name for name in (PLATE, WELL) if name not in table]
    if missing:
        raise ProfileError(
            f"{argument}: expected the columns of a screen's table, got no {missing}"
        )
    if "Status" in table:
        table = table[table["Status"] == "done"]
    if argument == "images":
        table = with_given_class(table, argument)
    return table.assign(**{WELL: well_names(table[WELL], argument)})


def _averaged(
    table: pd.DataFrame, key: list[str], called: str, shares: bool = False
) -> pd.DataFrame:
    """Count rows and average their measurements, and the shares of their classes."""
    pandas = needed("pandas")
    own = [name for name in table.columns if name.startswith(OF_NETWORK)]
    numbers = table[own].apply(pandas.to_numeric).add_prefix(f"{called}_")
    named = [name for name in features_of(table) if not name.startswith("Image_")]
    numbers = numbers.join(table[named])
    if shares and "Class" in table and table["Class"].notna().any():
        classes = pandas.get_dummies(table["Class"], dtype=float)
        numbers = numbers.join(classes.add_prefix(f"{called}_ClassShare_"))
    grouped = numbers.join(table[key]).groupby(key)
    count = COUNTS[called != "Image"]
    return grouped.size().to_frame(count).join(grouped.mean())


def _called(objects: pd.DataFrame) -> str:
    """What the objects of a table are called: the first part of the names of their measurements."""
    parts = (name.partition("_Attribution_") for name in objects.columns)
    return next((called for called, found, _ in parts if found), "Cells")


def _same_all_over(images: pd.DataFrame) -> pd.DataFrame:
    """The metadata that has one value in every well, as a load file brings it along."""
    key = [PLATE, WELL]
    left_out = {*key, *OF_FIELDS, *COUNTS}
    names = [n for n in images.columns if n.startswith(METADATA) and n not in left_out]
    grouped = images.groupby(key)
    same = [n for n in names if images[n].notna().any() and grouped[n].nunique().le(1).all()]
    return grouped[[*key, *same]].first()[same]


def _joined(wells: pd.DataFrame, plate_map: pd.DataFrame) -> pd.DataFrame:
    key = [name for name in (PLATE, WELL) if name in plate_map]
    plates = _plates_told(wells, plate_map)
    twice = [name for name in plate_map.columns if name in wells and name not in key]
    table = wells.drop(columns=twice).merge(plate_map, on=key, how="left", indicator="_found")
    missing = table.loc[table["_found"] == "left_only", [PLATE, WELL]].drop_duplicates()
    if len(missing):
        shown = [" ".join(row) for row in missing.head(MOST_NAMED).itertuples(index=False)]
        rest = f" and {len(missing) - MOST_NAMED} more" if len(missing) > MOST_NAMED else ""
        warn(
            "plate_map: expected a row for every well, got none for "
            f"{', '.join(shown)}{rest}{plates}"
        )
    return table.drop(columns="_found")


def _plates_told(wells: pd.DataFrame, plate_map: pd.DataFrame) -> str:
    """The plates of both where they differ, to see a misspelt one.

    Raises:
        ProfileError: If they have none in common.
    """
    if PLATE not in plate_map:
        return ""
    own, given = (sorted(set(map(str, table[PLATE]))) for table in (wells, plate_map))
    if own and not set(own) & set(given):
        raise ProfileError(
            f"plate_map: expected the plates of the results, {own[:MOST_NAMED]}, got "
            f"{given[:MOST_NAMED]}"
        )
    if set(own) <= set(given):
        return ""
    return f"; it has the plates {given[:MOST_NAMED]}, the results have {own[:MOST_NAMED]}"
