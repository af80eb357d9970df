"""Live answers against training and against what came of them: drift, quality, what it touches."""
