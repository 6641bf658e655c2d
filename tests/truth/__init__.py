"""The truth fuzzer: random projects and edits, held against a cold build and against what was edited."""
