"""List the files of a folder once, and know at the next start whether anything changed."""
