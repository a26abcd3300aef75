"""Small models trained on frozen features, each in a file of its own; ``table`` knows them all."""
