"""The importer: from a file that arrived to rows in the twins, in a process of its own.

taking     what lies in the drop box or was sent by hand becomes a row of imports.file, its bytes an original
reading    a child process reads the original to its end into a spool; nothing is stored before that
storing    the spool's blocks go through the twins' bulk door; a crash goes on where it was
"""
