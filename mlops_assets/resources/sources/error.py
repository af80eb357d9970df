"""The one error of every reader."""


class SourceError(Exception):
    """A source that cannot be read as declared. Trying again does not help."""
