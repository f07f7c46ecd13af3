"""Where attempts execute: one module for each launcher; `harness.launcher` says what one is."""
