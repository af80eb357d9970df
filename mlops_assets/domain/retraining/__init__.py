"""Whether a model is trained again, and whether a new champion is rolled back."""
