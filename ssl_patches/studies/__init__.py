"""Make many runs, list them and compare them."""
