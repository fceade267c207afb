"""A device's profile with settings of every kind."""

from fleet.device_setting import Choice, Setting
from fleet.profiles import DeviceProfile

PROFILE = DeviceProfile(
    id="box", kind="gateway", label_fr="Boîtier", label_en="Box", channels=(), site_registers=(), interval_s=10,
    settings=(
        Setting("report_interval_s", "integer", "Envoi des mesures", "Reports every", 10, unit="s", minimum=1, maximum=3_600,
                help_fr="Plus court : plus de données.", help_en="Shorter: more data."),
        Setting("active_power_limit_pct", "number", "Puissance maximale", "Maximum power", 70.0, unit="%", minimum=0,
                maximum=100, grid_minimum=0, grid_maximum=70, grid_code="VDE-AR-N 4105"),
        Setting("export_limit_on", "boolean", "Limiter l’injection", "Limit the export", False),
        Setting("export_limit_w", "number", "Injection maximale", "Maximum export", 0.0, unit="W", minimum=0,
                maximum=36_000, needs={"export_limit_on": True}),
        Setting("battery_low_pct", "integer", "Batterie : seuil bas", "Battery: low", 10, unit="%", minimum=0, maximum=100,
                below="battery_high_pct"),
        Setting("battery_high_pct", "integer", "Batterie : seuil haut", "Battery: high", 90, unit="%", minimum=0,
                maximum=100),
        Setting("mode", "choice", "Mode", "Mode", "auto",
                choices=(Choice("auto", "Automatique", "Automatic"), Choice("island", "Îloté", "Islanded"))),
        Setting("name", "text", "Nom affiché", "Name shown", ""),
        Setting("country", "text", "Pays de raccordement", "Grid country", "FR", read_only=True),
    ),
)  # fmt: skip
DEFAULTS = {setting.key: setting.default for setting in PROFILE.settings if not setting.read_only}
