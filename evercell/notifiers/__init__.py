"""Who is told that an approval waits: a webhook, an e-mail. Others add theirs as entry points."""
