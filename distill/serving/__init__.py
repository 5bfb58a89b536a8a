"""Students behind an OpenAI-compatible address."""
