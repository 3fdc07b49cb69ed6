"""`steerx import`: real people's texts → histories and queries.

`rows` reads files, a module for each format makes texts of rows, `spool` sorts them outside memory, `choose` says what
of a person's is kept, and `work` does it all.
"""
