"""Compute features of any number of models in one pass over the images."""
