"""A forecast of one symbol for one close: what is asked, what a run answers, and the record of both."""
