"""Profiles: files of sizes, and the rehearsal."""
