"""What happens next: runs, steps, attempts, replay, retries, leases, branches. Knows no kernel."""
