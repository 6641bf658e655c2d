"""Text: reading files of it, cutting it into windows, and finding near-copies."""
