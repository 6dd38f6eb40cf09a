"""Point-in-time sources: dated records of prices, news, filings and figures, each with the time it could first be known."""
