"""Hold the pretext tasks: one file, one paper."""
