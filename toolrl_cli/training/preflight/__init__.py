"""Whether a stage's real rows fit its limits, by its real tokenizer; found at `plan` and before anything is spent."""
