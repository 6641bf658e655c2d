"""`spark report`: one HTML page about a version of a dataset, measured on its Parquet files."""
