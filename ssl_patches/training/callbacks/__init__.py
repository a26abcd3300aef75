"""Observers of a run; none changes the loss."""
