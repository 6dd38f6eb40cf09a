"""Point-in-time sources: dated records of prices, news, filings and figures, each with when it could first be known."""
