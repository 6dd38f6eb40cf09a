"""The images of prep, train and eval: how they are built, what is in them, and what is known against that."""
