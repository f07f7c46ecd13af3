"""What runs in the evaluator's environment: it imports bfcl-eval and the standard library, and nothing of toolrl
outside this folder."""
