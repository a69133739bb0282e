"""Launchers: how the jobs of a sweep are carried out, on this machine or others."""
