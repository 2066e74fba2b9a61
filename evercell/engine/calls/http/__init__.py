"""HTTP requests as durable calls: recorded where they leave a client, whatever was built upon it."""
