"""The names of the checks on realised quality. Light: assets declare checks at load."""

QUALITY_HOLDS, LABELS_SOUND = "quality_holds", "labels_sound"
