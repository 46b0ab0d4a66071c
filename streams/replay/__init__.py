"""`postcall replay …` for what stages do: dead letters with today's code, insights in bulk."""
