"""Where attempts execute: `base` says what a launcher is, each other module is one."""
