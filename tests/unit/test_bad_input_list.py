"""What goes wrong with field data, and the tests that hold what becomes of it. None of them may be lost by a renaming."""

import ast
from pathlib import Path
from typing import Final

import pytest

ROOT: Final = Path(__file__).parents[1]
WHOLE_WAY: Final = (
    "integration/test_bad_input.py::test_bad_input_is_refused_line_by_line_or_as_a_whole_and_what_is_good_counts"
)
# The whole way holds each of these names as a case of its own.
CASES: Final = {
    "wrong encoding": ("Windows-1252", "UTF-16", "another encoding than it says"),
    "NUL bytes": ("NUL bytes",),
    "lone CR": ("lone CR",),
    "BOM in the middle": ("BOM in the middle",),
    "HTML saved as CSV": ("HTML saved as CSV",),
    "truncated gzip": ("truncated gzip",),
    "zip in zip": ("zip in zip",),
    "path tricks in archive names": ("path tricks",),
    "header only": ("header only",),
    "half a line": ("half a line",),
    "columns swapped mid-file": ("columns swapped mid-file", "columns swapped mid-file without a heading"),
    "a day in the future": ("a day in the future", "a day long ago"),
    "local times that do not exist or exist twice": ("local times that do not exist", "local times that exist twice"),
    "VA offered as W": ("VA offered as W",),
    "checksum wrong by one": ("checksum wrong by one",),
    "JSON NaN": ("JSON NaN",),
    "formulas in cells": ("formulas in cells",),
}
TESTS: Final = {
    "wrong encoding": [
        "unit/test_all_formats.py::test_a_file_is_of_its_own_format_alone_however_it_was_saved_and_says_the_same",
        "unit/test_wide_bad_files.py::test_line_ends_marks_and_encodings_as_they_come",
        "unit/test_guess.py::test_any_encoding",
    ],
    "NUL bytes": ["unit/test_wide_bad_files.py::test_whole_files_are_refused_with_a_reason"],
    "lone CR": ["unit/test_all_formats.py::test_a_file_is_of_its_own_format_alone_however_it_was_saved_and_says_the_same"],
    "BOM in the middle": ["unit/test_wide_bad_files.py::test_line_ends_marks_and_encodings_as_they_come"],
    "HTML saved as CSV": ["unit/test_wide_bad_files.py::test_whole_files_are_refused_with_a_reason"],
    "truncated gzip": ["unit/test_unpack.py::test_a_gzip_file_cut_anywhere_is_refused"],
    "zip in zip": ["unit/test_unpack.py::test_archives_within_archives_are_refused"],
    "path tricks in archive names": ["unit/test_unpack.py::test_names_with_tricks_are_refused"],
    "header only": ["unit/test_wide_bad_files.py::test_whole_files_are_refused_with_a_reason"],
    "half a line": [
        "integration/test_bad_input.py::test_half_a_line_is_healed_by_the_whole_file",
        "unit/test_wide_bad_files.py::test_bad_cells_and_lines_are_refused_and_the_rest_counts",
        "unit/test_enedis_bad_input.py::test_samples_cut_anywhere",
        "unit/test_webdyn_files.py::test_a_file_that_was_cut_tells_nothing_that_is_wrong",
        "unit/test_solar_log.py::test_a_file_that_was_cut_tells_nothing_that_is_wrong",
        "unit/test_tic_log.py::test_a_file_that_was_cut_and_came_again_whole",
        "unit/test_codec_senml.py::test_a_pack_that_is_cut_off_or_goes_on_is_refused",
    ],
    "columns swapped mid-file": [
        "unit/test_wide_bad_files.py::test_columns_that_are_swapped_in_the_middle_are_found_again"
    ],
    "ambiguous dates": [
        "integration/test_bad_input.py::test_an_ambiguous_date_is_refused_with_what_to_set_and_read_once_it_is_set",
        "unit/test_wide_values.py::test_day_and_month_are_never_guessed",
        "unit/test_webdyn_files.py::test_a_single_day_that_could_be_two_is_refused",
    ],
    "a day in the future": [
        "integration/test_bulk_door.py::test_what_cannot_be_stored_is_counted",
        "integration/test_gateways.py::test_raw_messages_from_the_future_are_kept_as_their_devices_own",
    ],
    "local times that do not exist or exist twice": [
        "unit/test_files_local_time.py::test_the_hour_that_never_was_is_none",
        "unit/test_files_local_time.py::test_the_order_of_rows_tells_the_two_hours_apart",
        "unit/test_wide_properties.py::test_pieces_of_a_file_say_what_it_says",
        "integration/test_file_orders.py::test_a_fortnight_comes_to_the_same_days_and_they_are_true",
    ],
    "counters that fall": [
        "integration/test_file_orders.py::test_counters_that_fall_are_begun_anew_and_count_on",
        "unit/test_counters.py::test_a_reset_counts_from_zero",
        "unit/test_counters.py::test_a_glitch_is_left_out",
        "unit/test_day_counters.py::test_a_reboot_counts_from_zero_whatever_it_shows_then",
        "unit/test_tic_log.py::test_half_a_tariff_is_no_falling_counter",
    ],
    "VA offered as W": [
        "unit/test_wide_csv.py::test_va_offered_as_w_refuses_the_file",
        "unit/test_enedis_curve.py::test_what_is_no_active_power_never_becomes_watts",
        "unit/test_webdyn_files.py::test_va_is_no_power_and_two_columns_are_not_one",
        "unit/test_mqtt_meters.py::test_a_zlinkys_powers_are_apparent_and_its_time_is_the_meters",
    ],
    "checksum wrong by one": ["unit/test_tic_log.py::test_a_wrong_checksum_costs_its_line_only"],
    "a retained MQTT value from last week": [
        "unit/test_mqtt_formats.py::test_a_copy_that_a_broker_kept_since_last_week_is_no_sample",
        "unit/test_codec_homeassistant.py::test_what_was_announced_outlives_the_process_and_retained_values_are_none",
    ],
    "JSON NaN": [
        "unit/test_whatever_is_said.py::test_numbers_that_no_meter_has_are_no_readings",
        "unit/test_fronius.py::test_what_is_refused_as_a_whole",
        "unit/test_enedis_bad_input.py::test_json_that_is_none",
        "unit/test_native_codec.py::test_nonsense_is_refused",
    ],
    "formulas in cells": [
        "unit/test_web_parts.py::test_no_cell_is_taken_for_a_formula",
        "integration/test_web_imports.py::test_refused_lines_as_a_table_run_nothing",
    ],
    "disk full and quota reached while uploading": [
        "integration/test_dropbox_disk.py::test_a_disk_that_fills_up_loses_nothing_that_was_received",
        "integration/test_dropbox_hostile.py::test_a_quota_is_told_and_leaves_nothing_half",
        "integration/test_web_imports.py::test_an_upload_that_may_not_be_leaves_nothing",
        "integration/test_importer_disk.py::test_a_full_disk_loses_nothing_and_the_importer_goes_on_when_there_is_room",
    ],
    "connection cut at any byte": [
        "integration/test_dropbox_crash.py::test_a_line_that_breaks_anywhere_is_resumed",
        "integration/test_dropbox_crash.py::test_a_cut_file_is_not_made_whole_by_a_rename",
        "integration/test_importer.py::test_a_file_that_was_cut_off_is_kept_and_not_read",
    ],
    "fuzzing": [
        "unit/test_whatever_comes.py::test_damaged_files_are_read_or_refused",
        "unit/test_whatever_comes.py::test_files_are_refused_or_read_however_long_one_piece_of_them_is",
        "unit/test_whatever_is_said.py::test_damaged_messages_are_samples_or_refused",
    ],
    "any permutation, repetition or cut-and-resume": [
        "integration/test_file_orders.py::test_a_fortnight_comes_to_the_same_days_and_they_are_true",
        "integration/test_bulk_door.py::test_no_order_of_contradicting_files_matters",
        "unit/test_energy_kinds.py::test_any_order_of_arrival_ends_in_the_same_days",
        "unit/test_codec_repetition.py::test_repetitions_change_nothing",
    ],
}  # fmt: skip


def names_in(file: str) -> set[str]:
    tree = ast.parse((ROOT / file).read_text())
    return {node.name for node in ast.walk(tree) if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef)}


@pytest.mark.parametrize("item", TESTS)
def test_each_has_tests(item: str) -> None:
    for where in [*TESTS[item], *([WHOLE_WAY] if item in CASES else [])]:
        file, _, name = where.partition("::")
        assert name in names_in(file), where


def test_each_case_goes_the_whole_way() -> None:
    text = (ROOT / WHOLE_WAY.partition("::")[0]).read_text()
    assert set(CASES) <= set(TESTS)
    assert [case for cases in CASES.values() for case in cases if f'"{case}": ' not in text] == []
