"""Look at runs and studies in a browser: pages served on this machine from what is on disk."""
