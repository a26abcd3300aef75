"""Pretext tasks: one file, one paper."""
