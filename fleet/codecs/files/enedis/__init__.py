"""Files of Enedis, the French grid operator: what its portal lets customers download, and its flows for third parties.

What it measures is the delivery point. What it calls production is what the site feeds into the grid, never what its panels
yield; so these modules tell of import and export only. The serial is the PRM, the 14 digits of a delivery point, which name
somebody's home: no refusal shows more than its last four.

Sources: Enedis's guides of its flows R4x, R50, R151, R171 and R6x (Enedis.SGE.GUI.0503), for the portal's files what was
measured on recorded ones. Each module says what it takes from where.
"""

from typing import Final

from fleet.codecs.files.enedis import long_csv, portal, r4x, r6x_json, r50, r64_csv, xml_registers
from fleet.codecs.files.reading import FileFormat

FORMATS: Final[tuple[FileFormat, ...]] = (
    *portal.FORMATS,
    *long_csv.FORMATS,
    *r64_csv.FORMATS,
    *r6x_json.FORMATS,
    *r4x.FORMATS,
    *r50.FORMATS,
    *xml_registers.FORMATS,
)
