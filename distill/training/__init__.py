"""What a teacher wrote becomes a student: rows chosen and checked, tuned, merged, sent away."""
