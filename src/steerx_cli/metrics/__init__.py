"""Scores of answers against what was written: one file a metric, and the statistics that compare them."""
