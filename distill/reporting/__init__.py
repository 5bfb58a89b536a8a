"""A Report for people: one HTML page, Markdown, JSON, and its drawings."""
