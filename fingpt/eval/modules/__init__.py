"""Metric modules for the `evaluate` library, shipped so that they load without a hub.

Each folder is a module that `evaluate.load(<folder>)` accepts; `fingpt.eval.metric_modules` makes instances of the same
classes directly, because `evaluate.load` copies code into $HOME, which a pod may not write.
"""
