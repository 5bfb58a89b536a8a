"""The guarantee: what a student may answer alone, and whether that still holds."""
