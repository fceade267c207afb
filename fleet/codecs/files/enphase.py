"""Enphase Enlighten's custom report: `Date/Time,Energy Produced (Wh)[,Energy Consumed (Wh),…]`.

Source: recorded files. Times are the START of an hour or quarter of an hour (or of a day), local to the site; some reports
have an offset. Month first, or day first in some accounts: told by any day above 12, or by dates that follow each other.
Energies of the interval in Wh. In autumn the hour from 2 is there twice, in spring it is missing. A line `Total` may follow.
What is consumed is no register of ours: it is produced + imported − exported.
"""

from typing import Final

from fleet.codecs.files.wide_csv import Column, TimeCells, WideCsv, wide_format

FORMAT: Final = wide_format(
    "enphase-report",
    "Enphase Enlighten (rapport)",
    "Enphase Enlighten (report)",
    "imported-site",
    WideCsv(
        time=TimeCells(at=("Date/Time",), stamp="start"),
        delimiter=",",
        header_like="Date/Time,",
        columns=(
            Column("Energy Produced (Wh)", "pv_interval_wh"),
            Column("Energy Consumed (Wh)", optional=True),
            Column("Imported from Grid (Wh)", "import_interval_wh", optional=True),
            Column("Exported to Grid (Wh)", "export_interval_wh", optional=True),
            *(
                Column(f"{way} {kind}Batteries (Wh)", measure, optional=True)
                for kind in ("", "AC ")
                for way, measure in (("Stored in", "charge_interval_wh"), ("Discharged from", "discharge_interval_wh"))
            ),
        ),
        skip=("Total",),
    ),
)
