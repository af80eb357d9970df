"""Whether a model is trained again, and whether a new one has to go."""
