"""Plans, records and events as text: for a terminal, for a pipe, and as JSON lines."""
