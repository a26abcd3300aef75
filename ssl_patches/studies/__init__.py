"""Many runs: studies that make them, lists of them, and their comparison."""
