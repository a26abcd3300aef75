"""From finished runs to a comparison: tables, pairs, the report page."""
