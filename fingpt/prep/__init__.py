"""Stage prep: raw rows in, a linted and split data set with its manifest out."""
