"""What happens inside one attempt of a stage, and at its end."""
