"""People's own files: where they are, and the records in them."""
