"""From a sweep file to validated runs: reading, grid, layers, presets, profiles."""
