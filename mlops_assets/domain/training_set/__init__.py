"""Rows to learn from: joined at their moment, divided in time, without knowledge of the future."""
