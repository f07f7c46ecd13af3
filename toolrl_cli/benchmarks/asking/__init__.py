"""Asks a model a benchmark's questions through an OpenAI-compatible endpoint, and keeps the answers."""
