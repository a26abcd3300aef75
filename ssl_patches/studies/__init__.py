"""Runs compared: what was run, what may be compared with what, what the seeds say, and how that is
shown."""
