"""`steerx import`: real people's texts → histories and queries.

`files` reads records, `formats` makes texts of them, `spool` sorts these outside memory, `choose` says what of a
person's is kept; `reading` and `writing` are the two ends, and `work` does it all.
"""
