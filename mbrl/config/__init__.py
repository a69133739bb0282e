"""Configs: the only package that reads Hydra's config."""
