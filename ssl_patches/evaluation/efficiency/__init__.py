"""Answer whether an encoder is worth having: from how many labels on, and beside which others."""
