"""A device's configuration as tests make it: three settings, wishes, reports."""

from typing import Any

from fleet.config_wishes import plan
from fleet.configuration import Change, ConfigState, Desired, Layer, Values, adopted
from fleet.device_setting import Setting
from fleet.order_messages import RejectedConfig, ReportedConfig
from fleet.profiles import DeviceProfile


def setting(key: str, default: Any, kind: Any = "number", **fields: Any) -> Setting:
    return Setting(key, kind, key, key, default, **fields)


SETTINGS = (
    setting("report_interval_s", 10.0, minimum=1, maximum=3_600),
    setting("limit_pct", 100.0, minimum=0, maximum=100, grid_maximum=100),
    setting("export", False, "boolean"),
)
DEFAULTS: Values = {"report_interval_s": 10.0, "limit_pct": 100.0, "export": False}
PROFILE = DeviceProfile("p", "inverter", "p", "p", (), (), 10, settings=SETTINGS)


def change(kind: Any, **fields: Any) -> Change:
    return Change(kind, **fields)


def after(state: ConfigState, wish: Change, earlier: Desired | None = None, now: int = 1) -> ConfigState:
    made = plan(state, wish, SETTINGS, earlier, now)
    assert made is not None
    return adopted(state, made, now)


def said(version: int, rejected: RejectedConfig | None = None, **values: Any) -> ReportedConfig:
    return ReportedConfig(version, DEFAULTS | values, rejected)


def desired_of(state: ConfigState) -> Desired:
    assert state.desired is not None
    return state.desired


def layer(source: str, **values: Any) -> Layer:
    return Layer(source, source.upper(), f"r-{source}", values)
