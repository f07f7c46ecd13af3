"""Reward designs of other papers that look at one turn: compositions by name, each with its source and evidence."""
