"""The commands of a notebook: text to a call of the engine, and display of what came back."""
