"""Where attempts execute: one module for each launcher."""
