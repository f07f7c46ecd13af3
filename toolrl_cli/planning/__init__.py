"""What a sweep needs and what stands in its way, known before anything starts."""
