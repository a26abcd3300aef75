"""Find near-copies and odd images of a folder by the features of an encoder."""
