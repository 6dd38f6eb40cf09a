"""Examples and the token ids that models see: the only place where chat templates are applied."""
