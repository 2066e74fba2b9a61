"""Words of the domain: records, statuses, errors, clock, ids. Imports the standard library only."""
