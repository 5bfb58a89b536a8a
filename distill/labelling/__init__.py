"""A teacher labels the rows of a task: planned, paid for, paced, stored as answers arrive."""
