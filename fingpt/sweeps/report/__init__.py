"""What a sweep has found, what it cost, and whether the default is as good: from its records to one page."""
