"""What developers of the project run by hand."""
