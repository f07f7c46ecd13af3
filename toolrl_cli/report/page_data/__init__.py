"""What the page embeds: items, rollouts, runs, and where it opens."""
