"""Train from losses to weights: build the parts of a run, train them, finish."""
