"""Durable calls: functions that are called inside a step, each recorded once and replayed by value."""
