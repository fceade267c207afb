"""The words that the islands need, handed to them with the page."""

from functools import lru_cache

import msgspec

from web.i18n import N_, say
from web.language import Language

_LABELS = {
    "age_unknown": N_("no data yet"),
    "age_s": N_("data {count} s old"),
    "age_min": N_("data {count} min old"),
    "age_h": N_("data {count} h old"),
    "age_d": N_("data {count} d old"),
    "connection_lost": N_("Connection lost, trying again"),
    "connection_found": N_("Connected again"),
    "feed_live": N_("Live"),
    "twins_away": N_("The twins do not answer"),
    "grid": N_("Grid"),
    "grid_import": N_("Import"),
    "grid_export": N_("Export"),
    "battery": N_("Battery"),
    "battery_charge": N_("Charging"),
    "battery_discharge": N_("Discharging"),
    "curve_pv": N_("Production"),
    "curve_load": N_("Consumption"),
    "curve_import": N_("Import"),
    "curve_export": N_("Export"),
    "curve_charge": N_("Battery charge"),
    "curve_discharge": N_("Battery discharge"),
    "bar_own": N_("Used at once"),
    "bar_import": N_("Import"),
    "bar_export": N_("Export"),
    "bar_charge": N_("Battery charge"),
    "bar_discharge": N_("Battery discharge"),
    "quality_0": N_("No data"),
    "quality_1": N_("Measured"),
    "quality_2": N_("Estimated"),
    "quality_3": N_("Corrected"),
    "broker_up": N_("connected"),
    "broker_down": N_("cut off"),
    "upload_waiting": N_("waits"),
    "upload_checking": N_("is being stored"),
    "upload_done": N_("is here"),
    "upload_cut": N_("Interrupted: the network or the server was away."),
    "upload_stopped": N_("Stopped."),
    "upload_signed_out": N_("You have been signed out: log in again, then send it."),
    "upload_refused": N_("Refused."),
    "upload_too_large": N_("Larger than a file may be."),
}


@lru_cache
def labels_json(language: Language) -> str:
    return msgspec.json.encode({key: say(language, text) for key, text in _LABELS.items()}).decode()
