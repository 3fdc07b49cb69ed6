"""What is told of results: tables, in every format."""
