"""Sweepers: choose the jobs of a sweep."""
