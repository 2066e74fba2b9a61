"""Approvals: a step that waits for a person, wherever that person is."""
