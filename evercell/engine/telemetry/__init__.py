"""OpenTelemetry: runs, steps and calls as spans and metrics, made of what the store has of them."""
