"""Features of one symbol at one close: facts from a snapshot, the question that states them, the label, the rows.

Facts and questions are pure and point in time: the same functions make training rows and live forecasts, so the two
cannot differ. Nothing here fetches data, loads a model or knows a run.
"""
