"""Compare finished runs: tables, pairs, the report page."""
