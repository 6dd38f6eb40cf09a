"""Raw rows as people have them: which files hold which split, how each is encoded, and the rows in them."""
