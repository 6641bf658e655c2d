"""The training shelf: what recipes and metrics are put together from. Knows neither rules nor Sparkfiles."""
