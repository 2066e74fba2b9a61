"""Two runs, or ten, side by side: code, variables, outputs, and figures of what each took and reached. Reads only."""
