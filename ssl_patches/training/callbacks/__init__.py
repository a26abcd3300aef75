"""Observe a run; no callback changes the loss."""
