"""The fits of one training: the recipe's, each fold's, and the refit on every row."""
