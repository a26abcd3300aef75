"""One pass over the images: features of any number of models."""
