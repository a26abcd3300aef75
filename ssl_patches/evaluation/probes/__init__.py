"""Fit small models on frozen features, each in a file of its own; `conf/probe` names them."""
