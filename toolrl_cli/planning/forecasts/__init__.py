"""What a plan takes: measured, derived or published; limits."""
