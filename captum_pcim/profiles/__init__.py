"""Profiles of wells, treatments and classes from a screen's tables, and a test of the layout."""

from captum_pcim.profiles.intervals import per_class, per_treatment
from captum_pcim.profiles.layout import layout_test
from captum_pcim.profiles.tables import read_plate_map, read_results, read_table, write_table
from captum_pcim.profiles.wells import per_well

__all__ = [
    "layout_test",
    "per_class",
    "per_treatment",
    "per_well",
    "read_plate_map",
    "read_results",
    "read_table",
    "write_table",
]
