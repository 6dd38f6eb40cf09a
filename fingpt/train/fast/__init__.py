"""Decoder layers of the Llama family computed by hand-written passes: fewer, larger products and less memory."""
