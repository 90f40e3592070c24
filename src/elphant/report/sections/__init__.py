"""Sections of the report: each module turns a run into one section."""
