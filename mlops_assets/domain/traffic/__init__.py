"""What the endpoint answered, as data."""
