"""The stand-in: records, shadows, cascades and replaces a model in an existing app."""
