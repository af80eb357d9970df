"""A candidate measured beside others, and judged by gates."""
