"""What durable state costs: checkpoints, restores and bytes, beside other ways of saving a notebook's memory."""
