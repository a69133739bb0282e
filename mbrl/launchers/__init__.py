"""Launchers: run the jobs of a sweep, on this machine or on a cluster."""
