"""Profiles of planted tables: means, intervals, layout, files, and pycytominer on them."""

import csv

import numpy as np
import pytest
from screen_plates import LABELS, command_line, config, write_toml

from captum_pcim import PCIMWarning
from captum_pcim.cli.main import main
from captum_pcim.screen import run_screen

pandas = pytest.importorskip("pandas")
pytest.importorskip("scipy")

from captum_pcim import profiles  # noqa: E402
from captum_pcim.profiles.intervals import bootstrap, expanded_level  # noqa: E402
from captum_pcim.profiles.positions import positions, well_names  # noqa: E402
from captum_pcim.profiles.tables import ProfileError  # noqa: E402

TREATMENT = "Metadata_Treatment"
FEATURES = ["Cells_Attribution_Mean_DNA", "Cells_Attribution_Mean_ER", "Image_Stain_Weight_ER"]


def images_table(**columns):
    """Two wells of two sites each; the second site of B02 failed."""
    table = pandas.DataFrame({
        "Metadata_Plate": "P1", "Metadata_Well": ["A01", "A01", "B02", "B02"],
        "Metadata_Site": ["1", "2", "1", "2"], "Metadata_Dose": ["0", "0", "5", "5"],
        "ImageNumber": [1, 2, 3, 4], "Status": ["done", "done", "done", "failed"],
        "Class": ["control", "hit", "hit", None], "Stain_Weight_ER": [0.25, 0.75, 0.5, None],
        "Probability_hit": [0.25, 0.5, 1.0, None], "area": [0.1, 0.2, 0.3, None],
    })  # fmt: skip
    return table.assign(**columns)


def objects_table():
    return pandas.DataFrame({
        "Metadata_Plate": "P1", "Metadata_Well": ["A01"] * 3 + ["B02"],
        "ImageNumber": [1, 1, 2, 3], "ObjectNumber": [1, 2, 1, 1],
        "Cells_Attribution_Mean": [1.0, 2.0, 6.0, 4.0], "Nuclei_Attribution_Share": [0, 0, 0.75, 1],
        "Cells_Location_Center_X": [5.0, 6.0, 7.0, 8.0],
    })  # fmt: skip


def plate(effect=0.0, of="treatment", seed=0, features=FEATURES, treatments=8, plates=1):
    """A plate of 96 wells of normal noise, treatments dealt out, and an effect of some size."""
    rng = np.random.default_rng(seed)
    wells = [f"{row}{column:02d}" for row in "ABCDEFGH" for column in range(1, 13)]
    parts = []
    for number in range(plates):
        treated = rng.permutation(np.arange(96) % treatments)
        place = positions(wells)
        driver = {
            "treatment": treated == 0,
            "edge": place[:, 2] == 0,
            "row": place[:, 0] / 8,
            "column": place[:, 1] / 12,
            "edge of one": (treated == 3) & (place[:, 2] == 0),
        }
        values = rng.normal(size=(96, len(features)))
        values[:, 0] += effect * driver[of]
        part = pandas.DataFrame(values, columns=features)
        part.insert(0, "Metadata_Plate", f"P{number}")
        part.insert(1, "Metadata_Well", wells)
        part.insert(2, TREATMENT, [f"T{t}" for t in treated])
        parts.append(part)
    return pandas.concat(parts, ignore_index=True)


def flagged(table, **options):
    found = profiles.layout_test(table, n_permutations=199, **options)
    return found[found["Flagged"]]


# ---- wells ------------------------------------------------------------------------------------


def test_a_well_has_the_means_of_its_images_and_of_its_objects():
    wells = profiles.per_well(images_table(), objects_table()).set_index("Metadata_Well")
    assert wells.loc["A01", "Image_Stain_Weight_ER"] == 0.5
    assert wells.loc["A01", "Image_Probability_hit"] == 0.375
    assert wells.loc["A01", "Cells_Attribution_Mean"] == 3.0
    assert wells.loc["A01", "Nuclei_Attribution_Share"] == 0.25
    assert wells["Metadata_Images"].tolist() == [2, 1]
    assert wells["Metadata_Objects"].tolist() == [3, 1]


def test_images_that_are_not_done_are_left_out():
    wells = profiles.per_well(images_table()).set_index("Metadata_Well")
    assert wells.loc["B02", "Image_Stain_Weight_ER"] == 0.5


def test_a_well_tells_the_share_of_images_explained_as_each_class():
    wells = profiles.per_well(images_table()).set_index("Metadata_Well")
    assert wells["Image_ClassShare_hit"].tolist() == [0.5, 1.0]
    assert wells["Image_ClassShare_control"].tolist() == [0.5, 0.0]


def test_by_class_a_well_has_a_row_for_each_class_and_objects_follow_their_image():
    wells = profiles.per_well(images_table(), objects_table(), by_class=True)
    wells = wells.set_index(["Metadata_Well", "Metadata_Class"])
    assert wells["Cells_Attribution_Mean"].to_dict() == {
        ("A01", "control"): 1.5, ("A01", "hit"): 6.0, ("B02", "hit"): 4.0
    }  # fmt: skip


def test_image_numbers_that_begin_anew_on_every_plate_are_told_apart():
    other = {"Metadata_Plate": "P2"}
    images = pandas.concat([images_table(), images_table(**other, Class=["hit"] * 3 + [None])])
    objects = pandas.concat([objects_table(), objects_table().assign(**other)])
    wells = profiles.per_well(images, objects, by_class=True)
    found = wells.set_index(["Metadata_Plate", "Metadata_Well", "Metadata_Class"])
    assert found["Cells_Attribution_Mean"].to_dict() == {
        ("P1", "A01", "control"): 1.5, ("P1", "A01", "hit"): 6.0, ("P1", "B02", "hit"): 4.0,
        ("P2", "A01", "hit"): 3.0, ("P2", "B02", "hit"): 4.0,
    }  # fmt: skip


def test_objects_with_classes_of_their_own_keep_them():
    objects = objects_table().assign(Class=["a", "b", "b", "a"])
    images = images_table(Class=["a", "b", "a", None])
    wells = profiles.per_well(images, objects, by_class=True)
    wells = wells.set_index(["Metadata_Well", "Metadata_Class"])
    assert wells["Cells_Attribution_Mean"].to_dict() == {
        ("A01", "a"): 1.0, ("A01", "b"): 4.0, ("B02", "a"): 4.0
    }  # fmt: skip


def test_cells_that_were_explained_by_themselves_have_classes_and_probabilities_as_measurements():
    cells = objects_table().assign(
        Class=["a", "b", "b", None], Probability_b=[0.0, 0.5, 1.0, None],
        Status=["done"] * 3 + ["failed"],
    )  # fmt: skip
    images = images_table().drop(columns=["Class", "Probability_hit"])
    wells = profiles.per_well(images, cells).set_index("Metadata_Well")
    assert wells.loc["A01", "Cells_ClassShare_b"] == pytest.approx(2 / 3)
    assert wells.loc["A01", "Cells_Probability_b"] == 0.5
    assert wells["Metadata_Objects"].fillna(0).tolist() == [3, 0]


def test_measurements_may_be_named_after_stains_with_any_letters():
    objects = objects_table().rename(
        columns={"Cells_Attribution_Mean": "Cells_Attribution_Mean_p-H3 1"}
    )
    assert "Cells_Attribution_Mean_p-H3 1" in profiles.per_well(images_table(), objects)


@pytest.mark.parametrize("called", ["My cells", "Cells-2", "Zellen/ä"])
def test_objects_may_be_called_anything(called):
    objects = objects_table().rename(columns=lambda name: name.replace("Cells_", f"{called}_"))
    wells = profiles.per_well(images_table(), objects)
    expected = profiles.per_well(images_table(), objects_table())
    names = [name for name in expected if name.startswith("Cells_Attribution")]
    assert names
    for name in names:
        assert wells[name.replace("Cells_", f"{called}_")].equals(expected[name])


def test_what_a_plate_map_tells_is_no_measurement():
    plate_map = pandas.DataFrame({"well": ["A01", "B02"], "treatment": "x", "Score_by_eye": [1, 2]})
    wells = profiles.per_well(images_table(), plate_map=plate_map)
    assert wells["Metadata_Score_by_eye"].tolist() == [1, 2]
    features = profiles.per_treatment(wells, "Metadata_treatment")["Feature"]
    assert not features.str.startswith("Metadata_").any()


def test_a_well_without_objects_counts_none():
    objects = objects_table()
    wells = profiles.per_well(images_table(), objects[objects["Metadata_Well"] == "A01"])
    assert wells["Metadata_Objects"].tolist()[1] == 0
    assert wells["Metadata_Objects"].dtype == int


def test_metadata_of_a_load_file_is_kept_where_a_well_has_one_value():
    wells = profiles.per_well(images_table(Metadata_Batch=["x", "y", "x", "x"]))
    assert wells["Metadata_Dose"].tolist() == ["0", "5"]
    assert "Metadata_Batch" not in wells and "Metadata_Site" not in wells


def test_a_plate_map_tells_what_was_done_to_a_well():
    plate_map = pandas.DataFrame({"Well": ["a1", "B2"], "Treatment": ["DMSO", "X"], "Dose": [0, 7]})
    wells = profiles.per_well(images_table(), plate_map=plate_map).set_index("Metadata_Well")
    assert wells["Metadata_Treatment"].to_dict() == {"A01": "DMSO", "B02": "X"}
    assert wells["Metadata_Dose"].tolist() == [0, 7]


@pytest.mark.parametrize("separator", [",", ";", "\t"])
@pytest.mark.parametrize("mark", ["", "\ufeff"])
def test_a_plate_map_of_any_spreadsheet_is_read(tmp_path, separator, mark):
    rows = [["well", "treatment"], ["A01", "1,5 mM"], ["B02", "DMSO"]]
    text = "\r\n".join(separator.join(f'"{cell}"' for cell in row) for row in rows)
    (tmp_path / "map.csv").write_text(mark + text, encoding="utf-8", newline="")
    found = profiles.read_plate_map(tmp_path / "map.csv")
    assert found["Metadata_treatment"].tolist() == ["1,5 mM", "DMSO"]


def test_cells_of_a_plate_map_lose_blanks_and_commas_that_end_a_row_move_nothing(tmp_path):
    (tmp_path / "map.csv").write_text(
        "well , source_well,treatment\nA01,B05, DMSO ,\n,,,\nB2,B06,\n"
    )
    found = profiles.read_plate_map(tmp_path / "map.csv")
    assert found["Metadata_Well"].tolist() == ["A01", "B02"]
    assert found["Metadata_source_well"].tolist() == ["B05", "B06"]
    assert found["Metadata_treatment"].tolist()[0] == "DMSO"
    assert found["Metadata_treatment"].isna().tolist() == [False, True]


@pytest.mark.parametrize(
    ("text", "told"),
    [
        (
            "well,treatment,dose\nA01,x,1,5\n",
            "line 2: expected 3 cells, got 4; quote what holds ','",
        ),
        ("well,dose,dose\nA01,1,2\n", r"columns twice: \['dose'\]"),
        ("well,plate,barcode\nA01,P1,7\n", r"one column for Metadata_Plate, got \['well', 'plate'"),
        ("well,dose,Metadata_dose\nA01,1,2\n", "one column for Metadata_dose, got"),
    ],
)
def test_a_plate_map_that_may_be_read_in_two_ways_is_refused(tmp_path, text, told):
    (tmp_path / "map.csv").write_text(text)
    with pytest.raises(ProfileError, match=told):
        profiles.read_plate_map(tmp_path / "map.csv")


def test_a_plate_map_in_another_encoding_says_what_to_do(tmp_path):
    (tmp_path / "map.csv").write_bytes("well,treatment\nA01,ä\n".encode("latin-1"))
    with pytest.raises(ProfileError, match="save it as UTF-8"):
        profiles.read_plate_map(tmp_path / "map.csv")


def test_a_plate_map_of_several_plates_goes_by_plate_and_well():
    images = pandas.concat([images_table(), images_table(Metadata_Plate="P2")])
    plate_map = pandas.DataFrame(
        {"plate": ["P1", "P1", "P2", "P2"], "well": ["A01", "B02"] * 2, "treatment": list("abcd")}
    )
    wells = profiles.per_well(images, plate_map=plate_map)
    assert wells["Metadata_treatment"].tolist() == list("abcd")


def test_wells_that_the_plate_map_lacks_are_told_and_kept():
    plate_map = pandas.DataFrame({"well": ["A01"], "treatment": ["x"]})
    with pytest.warns(PCIMWarning, match="plate_map: .* got none for P1 B02"):
        wells = profiles.per_well(images_table(), plate_map=plate_map)
    assert wells["Metadata_treatment"].isna().tolist() == [False, True]


@pytest.mark.parametrize(
    ("table", "told"),
    [
        ({"position": ["A01"]}, "plate_map: expected one column 'well'"),
        ({"well": ["A01", "A1"]}, "plate_map: expected every well once, got A01 twice"),
        ({"well": ["first"]}, "plate_map: expected a well such as B02, at most AV72, got 'first'"),
    ],
)
def test_a_plate_map_that_names_no_wells_is_refused(table, told):
    with pytest.raises(ValueError, match=told):
        profiles.per_well(images_table(), plate_map=pandas.DataFrame(table))


def test_a_table_without_wells_is_refused():
    with pytest.raises(ProfileError, match="images: expected the columns of a screen's table"):
        profiles.per_well(pandas.DataFrame({"Well": ["A01"]}))


def test_a_class_that_was_brought_along_does_not_replace_the_one_that_was_explained():
    plate_map = pandas.DataFrame({"well": ["A01", "B02"], "Class": ["neg", "pos"]})
    brought = images_table(Metadata_Class=["neg", "neg", "pos", "pos"])
    for images, given in ((images_table(), plate_map), (brought, None)):
        with pytest.warns(PCIMWarning, match=r"Metadata_Class .* is called Metadata_Class_Given"):
            wells = profiles.per_well(images, objects_table(), given, by_class=True)
        found = wells.set_index(["Metadata_Well", "Metadata_Class"])
        assert found["Metadata_Class_Given"].to_dict() == {
            ("A01", "control"): "neg", ("A01", "hit"): "neg", ("B02", "hit"): "pos"
        }  # fmt: skip


def test_a_plate_map_of_other_plates_says_which():
    plate_map = pandas.DataFrame({"plate": ["P1", "P7"], "well": ["A01"] * 2, "treatment": "x"})
    images = pandas.concat([images_table(), images_table(Metadata_Plate="P2")])
    told = r"none for P1 B02, P2 A01, P2 B02; .* plates \['P1', 'P7'\], the results .*'P1', 'P2'\]"
    with pytest.warns(PCIMWarning, match=told):
        profiles.per_well(images, plate_map=plate_map)
    with pytest.raises(ProfileError, match=r"plate_map: expected .*\['P2'\], got \['P1', 'P7'\]"):
        profiles.per_well(images_table(Metadata_Plate="P2"), plate_map=plate_map)


# ---- places -----------------------------------------------------------------------------------


def test_places_count_rows_and_columns_from_one_and_the_edge_from_zero():
    assert positions(["A01", "H12", "D06", "B03"]).tolist() == [
        [1, 1, 0], [8, 12, 0], [4, 6, 3], [2, 3, 1]
    ]  # fmt: skip


def test_the_plate_is_the_smallest_that_holds_all_wells():
    assert positions(["H12", "A01"])[0, 2] == 0
    assert positions(["H12", "P01"])[0, 2] == 7
    assert positions(["AF48"]).tolist() == [[32, 48, 0]]


def test_wells_are_named_as_screens_name_them():
    assert well_names(["a1", "B002", " P24 ", "B-2"], "wells") == ["A01", "B02", "P24", "B02"]


# ---- intervals --------------------------------------------------------------------------------


def test_a_treatment_has_the_mean_of_its_wells_not_of_its_cells():
    wells = profiles.per_well(images_table(), objects_table())
    found = profiles.per_treatment(wells, "Metadata_Plate").set_index("Feature")
    assert found.loc["Cells_Attribution_Mean", "Mean"] == 3.5
    assert found.loc["Cells_Attribution_Mean", "Wells"] == 2


@pytest.mark.parametrize("n", [4, 8, 24])
@pytest.mark.parametrize("draw", ["normal", "exponential"])
def test_intervals_cover_the_true_mean_as_often_as_they_say(n, draw):
    rng = np.random.default_rng(5)
    values = getattr(rng, draw)(size=(n, 2000))
    low, high = bootstrap(values, 0.9, 2000, seed=0)
    truth = 0.0 if draw == "normal" else 1.0
    coverage = ((low <= truth) & (truth <= high)).mean()
    least = {4: 0.80, 8: 0.86, 24: 0.88}[n] - (0.06 if draw == "exponential" else 0)
    assert least < coverage < 0.93


def test_few_wells_get_wider_quantiles_and_many_the_plain_ones():
    assert expanded_level(5, 0.95) < 0.01
    assert expanded_level(100_000, 0.95) == pytest.approx(0.025, rel=1e-3)


def test_two_wells_have_a_mean_and_no_interval():
    wells = profiles.per_well(images_table())
    found = profiles.per_treatment(wells, "Metadata_Plate")
    assert found["Mean"].notna().all() and found[["Low", "High"]].isna().all(axis=None)


def test_missing_values_are_left_out_of_the_means():
    table = plate()
    table.loc[0, FEATURES[0]] = np.nan
    found = profiles.per_treatment(table, "Metadata_Plate").set_index("Feature")
    assert found.loc[FEATURES[0], "Mean"] == pytest.approx(table[FEATURES[0]].mean())
    assert found["Wells"].tolist() == [95, 96, 96]


def test_classes_are_averaged_within_treatments():
    wells = profiles.per_well(images_table(), objects_table(), by_class=True)
    found = profiles.per_class(wells).set_index(["Metadata_Class", "Feature"])["Mean"]
    assert found["hit", "Cells_Attribution_Mean"] == 5.0
    within = profiles.per_class(wells, "Metadata_Dose").set_index(
        ["Metadata_Dose", "Metadata_Class", "Feature"]
    )["Mean"]
    assert within["5", "hit", "Cells_Attribution_Mean"] == 4.0


def test_a_column_that_is_not_there_is_named():
    with pytest.raises(ProfileError, match=r"wells: expected the columns \['Metadata_Compound'\]"):
        profiles.per_treatment(plate(), "Metadata_Compound")


# ---- layout -----------------------------------------------------------------------------------


def test_plates_without_layout_are_flagged_no_more_often_than_the_level():
    """200 plates of 3 features, 3 factors and 9 groups: 81 tests each, corrected together."""
    any_flag = [len(flagged(plate(seed=seed), seed=seed)) > 0 for seed in range(200)]
    assert np.mean(any_flag) < 0.05 + 3 * (0.05 * 0.95 / 200) ** 0.5


def test_p_values_are_uniform_on_plates_without_layout():
    found = [
        profiles.layout_test(plate(seed=seed), n_permutations=99, seed=seed) for seed in range(150)
    ]
    p = np.concatenate([table.loc[table[TREATMENT] == "(all)", "P"] for table in found])
    assert [(p <= level).mean() for level in (0.1, 0.5)] == pytest.approx([0.1, 0.5], abs=0.04)


def test_a_treatment_however_strong_is_not_flagged():
    any_flag = [len(flagged(plate(50, seed=seed))) > 0 for seed in range(40)]
    assert np.mean(any_flag) < 0.05 + 3 * (0.05 * 0.95 / 40) ** 0.5


@pytest.mark.parametrize(("of", "factor"), [("edge", "Edge"), ("row", "Row"), ("column", "Column")])
def test_a_planted_layout_is_flagged_in_its_feature_and_factor(of, factor):
    found = flagged(plate(4, of=of, plates=2))
    all_wells = found[found[TREATMENT] == "(all)"]
    assert set(all_wells["Feature"]) == {FEATURES[0]}
    assert factor in set(all_wells["Factor"])


def test_the_distance_to_the_edge_correlates_negatively_where_edge_wells_are_higher():
    found = flagged(plate(4, of="edge"))
    row = found[(found[TREATMENT] == "(all)") & (found["Factor"] == "Edge")].iloc[0]
    assert row["Correlation"] < -0.5 and row["Z"] < 0


def test_a_treatment_that_works_at_the_edge_alone_is_flagged_and_no_other_treatment():
    found = flagged(plate(20, of="edge of one", plates=2))
    assert set(found[TREATMENT]) - {"(all)"} == {"T3"}


def test_correlation_and_statistic_are_those_of_the_formula():
    table = plate(1, of="row", treatments=1)
    value, row = table[FEATURES[0]].to_numpy(), positions(table["Metadata_Well"])[:, 0]
    found = profiles.layout_test(table, n_permutations=9)
    first = found[(found["Factor"] == "Row") & (found["Feature"] == FEATURES[0])].iloc[0]
    expected = np.corrcoef(value, row)[0, 1]
    assert first["Correlation"] == pytest.approx(expected)
    assert first["Z"] == pytest.approx(expected * np.sqrt(95))


def test_what_cannot_be_told_from_the_treatment_is_said():
    table = plate()
    edge = positions(table["Metadata_Well"])[:, 2]
    table = table.assign(**{TREATMENT: np.where(edge == 0, "edge", "inside")})
    found = profiles.layout_test(table, n_permutations=19)
    row = found[(found[TREATMENT] == "edge") & (found["Factor"] == "Edge")].iloc[0]
    assert "cannot be told from the treatment" in row["Note"] and not row["Flagged"]
    assert np.isnan(row["P"])
    assert found[(found[TREATMENT] == "edge") & (found["Factor"] == "Row")]["P"].notna().all()


def test_values_that_never_vary_are_said_to_be_constant():
    found = profiles.layout_test(plate().assign(**{FEATURES[1]: 0.1}), n_permutations=19)
    notes = found[found["Feature"] == FEATURES[1]]["Note"]
    assert set(notes) == {"its wells have one value"}


def test_the_same_seed_gives_the_same_table():
    one, other = (profiles.layout_test(plate(), n_permutations=49, seed=3) for _ in range(2))
    assert one.equals(other)


def test_a_missing_value_stands_for_the_mean_of_its_treatment():
    table = plate(4, of="row", treatments=1)
    table.loc[3, FEATURES[0]] = np.nan
    filled = table.fillna({FEATURES[0]: table[FEATURES[0]].mean()})
    one, other = (profiles.layout_test(t, n_permutations=49) for t in (table, filled))
    assert np.allclose(one["Z"], other["Z"])


@pytest.mark.parametrize(
    ("change", "options", "told"),
    [
        (lambda t: pandas.concat([t, t]), {}, "wells: expected a row a well, got wells twice"),
        (lambda t: t.assign(**{TREATMENT: None}), {}, "wells: expected wells with a treatment"),
        (lambda t: t, {"level": 1.5}, "level, n_permutations: expected a number between 0 and 1"),
        (lambda t: t, {"n_permutations": 0}, "level, n_permutations"),
    ],
)
def test_tables_that_cannot_be_tested_are_refused(change, options, told):
    with pytest.raises(ValueError, match=told):
        profiles.layout_test(change(plate()), **options)


# ---- files ------------------------------------------------------------------------------------


@pytest.mark.parametrize("suffix", [".csv", ".parquet"])
def test_a_table_that_is_written_is_read_back(suffix, tmp_path):
    if suffix == ".parquet":
        pytest.importorskip("pyarrow")
    table = plate()
    profiles.write_table(table, tmp_path / f"wells{suffix}")
    pandas.testing.assert_frame_equal(profiles.read_table(tmp_path / f"wells{suffix}"), table,
                                      check_dtype=False)  # fmt: skip


WORDS = ["None", "nan", "NA", "null", "n/a", "-nan", "<NA>", "drug"]


def test_words_that_pandas_takes_for_nothing_are_names_of_plates_classes_and_treatments(tmp_path):
    wells = [f"A{number + 1:02d}" for number in range(len(WORDS))]
    lines = [f"{word},{well},1,done,{word}" for word, well in zip(WORDS, wells, strict=True)]
    header = "Metadata_Plate,Metadata_Well,Metadata_Site,Status,Class,Probability_None,Score_x\n"
    text = header + "".join(f"{line},0.5,{'nan' if i else ''}\n" for i, line in enumerate(lines))
    (tmp_path / "images.csv").write_text(text)
    places = zip(wells, WORDS, strict=True)
    treated = "".join(f"{well},{word}\n" for well, word in places)
    (tmp_path / "map.csv").write_text("well,treatment\n" + treated + "H12,\n")
    images, _ = profiles.read_results(tmp_path)
    assert images["Score_x"].isna().all() and images["Score_x"].dtype == float
    plate_map = profiles.read_plate_map(tmp_path / "map.csv")
    assert plate_map["Metadata_treatment"].isna().tolist() == [False] * len(WORDS) + [True]
    found = profiles.per_well(images, plate_map=plate_map, by_class=True)
    for column in ("Metadata_Plate", "Metadata_Class", "Metadata_treatment"):
        assert sorted(found[column]) == sorted(WORDS), column
    treatments = profiles.per_treatment(found, "Metadata_treatment")
    assert set(treatments["Metadata_treatment"]) == set(WORDS)
    assert (treatments.set_index("Feature")["Wells"]["Image_Probability_None"] == 1).all()


def test_anndata_tells_a_missing_word_from_the_word_nan(tmp_path):
    anndata = pytest.importorskip("anndata")
    table = plate()
    table.loc[:1, TREATMENT] = [None, "nan"]
    profiles.write_table(table, tmp_path / "wells.h5ad")
    assert anndata.read_h5ad(tmp_path / "wells.h5ad").obs[TREATMENT].tolist()[:2] == ["", "nan"]


def test_anndata_holds_measurements_as_values_and_metadata_beside_them(tmp_path):
    anndata = pytest.importorskip("anndata")
    table = plate()
    profiles.write_table(table, tmp_path / "wells.h5ad")
    found = anndata.read_h5ad(tmp_path / "wells.h5ad")
    assert list(found.var_names) == FEATURES
    assert np.array_equal(found.X, table[FEATURES].to_numpy())
    assert found.obs[TREATMENT].tolist() == table[TREATMENT].tolist()


def test_a_name_of_another_kind_is_refused(tmp_path):
    with pytest.raises(ProfileError, match="path: expected a name with one of"):
        profiles.write_table(plate(), tmp_path / "wells.xlsx")


def test_a_package_that_is_missing_is_named_with_the_way_to_have_it(tmp_path, monkeypatch):
    monkeypatch.setitem(__import__("sys").modules, "anndata", None)
    with pytest.raises(ImportError, match=r"profiles need anndata: pip install 'captum-pcim\[prof"):
        profiles.write_table(plate(), tmp_path / "wells.h5ad")


def test_pycytominer_aggregates_and_normalises_the_tables_as_they_are():
    pycytominer = pytest.importorskip("pycytominer")
    wells = plate(plates=2)
    normalised = pycytominer.normalize(
        wells, samples=f"{TREATMENT} == 'T0'", method="standardize", image_features=True
    )
    controls = normalised[normalised[TREATMENT] == "T0"]
    assert np.allclose(controls[FEATURES].mean(), 0) and np.allclose(
        controls[FEATURES].std(ddof=0), 1
    )
    by_treatment = pycytominer.aggregate(
        wells, strata=[TREATMENT], operation="mean", image_features=True
    ).set_index(TREATMENT)
    ours = profiles.per_treatment(wells).pivot(index=TREATMENT, columns="Feature", values="Mean")
    assert np.allclose(by_treatment[FEATURES], ours.loc[by_treatment.index, FEATURES])


def test_pycytominer_aggregates_the_objects_of_a_screen_to_the_same_wells():
    pycytominer = pytest.importorskip("pycytominer")
    objects = objects_table()
    theirs = pycytominer.aggregate(objects, features="infer", operation="mean")
    wells = profiles.per_well(images_table(), objects)
    assert theirs["Cells_Attribution_Mean"].tolist() == wells["Cells_Attribution_Mean"].tolist()


# ---- the command ------------------------------------------------------------------------------


@pytest.fixture
def results(screen):
    settings = config(screen, attribution={"n_steps": 3, "isolation": "factorised"})
    assert run_screen(settings).failures == {}
    return screen / "results"


def rows(path):
    with open(path, newline="", encoding="utf-8") as file:
        return list(csv.DictReader(file))


def test_the_command_writes_wells_treatments_classes_and_layout(results, capsys):
    plate_map = results / "map.csv"
    plate_map.write_text("well,treatment,dose\nA01,DMSO,0\nA02,X,5\nB01,X,5\n")
    assert main(["profiles", str(results), "--plate-map", str(plate_map)]) == 0
    wells = rows(results / "profiles" / "wells.csv")
    assert [row["Metadata_treatment"] for row in wells] == ["DMSO", "X", "X"]
    assert {"Image_Stain_Weight_DNA", "Cells_Attribution_Mean_ER"} <= set(wells[0])
    treatments = rows(results / "profiles" / "treatments.csv")
    assert {(row["Metadata_treatment"], row["Wells"]) for row in treatments} == {
        ("DMSO", "1"), ("X", "2")
    }  # fmt: skip
    assert {row["Metadata_Class"] for row in rows(results / "profiles" / "classes.csv")} == {
        "left", "right"
    }  # fmt: skip
    assert {row["Factor"] for row in rows(results / "profiles" / "layout.csv")} == {
        "Row", "Column", "Edge"
    }  # fmt: skip
    assert "3 wells" in capsys.readouterr().out


@pytest.mark.parametrize(("asked", "found"), [("Dose", ["9"]), ("dose", ["1"]), ("UNIT", ["mM"])])
def test_the_treatment_is_the_column_of_this_very_name_or_of_other_case(results, asked, found):
    plate_map = results / "map.csv"
    plate_map.write_text("well,dose,Dose,unit\nA01,1,9,mM\n")
    command = ["profiles", str(results), "--plate-map", str(plate_map), "--treatment", asked]
    assert main(command) == 0
    treatments = rows(results / "profiles" / "treatments.csv")
    assert sorted({next(iter(row.values())) for row in treatments}) == found


def test_the_command_takes_another_table_of_objects(results, tmp_path):
    objects = results / "measured.csv"
    objects.write_text(
        "Metadata_Plate,Metadata_Well,ImageNumber,Nuclei_Attribution_Share\nP1,A01,1,.5\n"
    )
    plate_map = results / "map.csv"
    plate_map.write_text("well,treatment\nA01,DMSO\nA02,X\nB01,X\n")
    command = ["profiles", str(results), "--plate-map", str(plate_map)]
    assert main([*command, "--objects", str(objects), "--out", str(tmp_path / "own")]) == 0
    assert rows(tmp_path / "own" / "wells.csv")[0]["Nuclei_Attribution_Share"] == "0.5"


def test_the_profiles_of_a_screen_of_cells_are_those_of_its_cells(screen):
    assert run_screen(config(screen, cells={"size": 12})).failures == {}
    (screen / "map.csv").write_text("well,treatment\nA01,DMSO\nA02,X\nB01,X\n")
    results = screen / "results"
    assert main(["profiles", str(results), "--plate-map", str(screen / "map.csv")]) == 0
    cells = rows(results / "cells.csv")
    (well,) = (r for r in rows(results / "profiles" / "wells.csv") if r["Metadata_Well"] == "A01")
    of_well = [cell for cell in cells if cell["Metadata_Well"] == "A01"]
    for name, column in (
        ("Cells_Attribution_Enrichment", "Cells_Attribution_Enrichment"),
        ("Cells_Probability_left", "Probability_left"),
    ):
        expected = np.mean([float(cell[column]) for cell in of_well])
        assert float(well[name]) == pytest.approx(expected)
    left = np.mean([cell["Class"] == "left" for cell in of_well])
    assert float(well["Cells_ClassShare_left"]) == pytest.approx(left)
    classes = {row["Metadata_Class"] for row in rows(results / "profiles" / "classes.csv")}
    assert classes == {cell["Class"] for cell in cells}


def test_compartments_that_were_measured_later_are_averaged(screen):
    pytest.importorskip("zarr")
    toml = write_toml(screen, output={"path": str(screen / "results"), "maps": True})
    assert command_line(toml) == 0
    assert main(["measure", "--config", str(toml), "--nuclei", LABELS]) == 0
    measured = screen / "results" / "measured.csv"
    (screen / "map.csv").write_text("well,treatment\nA01,DMSO\nA02,X\nB01,X\n")
    command = ["profiles", str(screen / "results"), "--plate-map", str(screen / "map.csv")]
    assert main([*command, "--objects", str(measured)]) == 0
    wells = rows(screen / "results" / "profiles" / "wells.csv")
    expected = np.mean([
        float(row["Nuclei_Attribution_Share"]) for row in rows(measured)
        if row["Metadata_Well"] == "A02"
    ])  # fmt: skip
    found = {row["Metadata_Well"]: float(row["Nuclei_Attribution_Share"]) for row in wells}
    assert found["A02"] == pytest.approx(expected)


@pytest.mark.parametrize(
    ("plate_map", "options", "told"),
    [
        ("well,compound\nA01,x\n", [], "treatment: expected one of the columns"),
        ("place,treatment\nA01,x\n", [], "plate_map: expected one column 'well'"),
        ("well,DOSE,Dose\nA01,1,2\n", ["--treatment", "dose"], "the columns ['DOSE', 'Dose'], got"),
        (None, [], "treatment: expected one of the columns"),
        ("well,treatment\nA01,x\n", ["--objects", "nowhere.csv"], "nowhere.csv' cannot be read"),
    ],
)
def test_the_command_says_what_it_lacks_and_writes_nothing(
    results, capsys, plate_map, options, told
):
    if plate_map is not None:
        (results / "map.csv").write_text(plate_map)
        options = [*options, "--plate-map", str(results / "map.csv")]
    assert main(["profiles", str(results), *options]) == 2
    assert told in capsys.readouterr().err
    assert not (results / "profiles").exists()


def test_a_folder_without_results_is_refused(tmp_path, capsys):
    assert main(["profiles", str(tmp_path)]) == 2
    assert "results: no images.csv or images.parquet" in capsys.readouterr().err
