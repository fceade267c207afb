"""Files that loggers, meters and portals export: one module per format, each on an engine where it can be.

`reading` says what a format is; `registry` lists them all. Formats are pure: bytes in, rows and refusals out.
"""
