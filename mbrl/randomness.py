"""Randomness: every random number of a run follows from one root key.

Each consumer folds its id, and then a counter, into the root key, which never changes. A new
consumer appends an id, so that the random numbers of the others stay the same.
"""

MODEL_INIT, COLLECT, EPISODE_SEEDS, LEARN, EVALUATE, PLANNER_INIT, SPLIT, ACTION_NOISE = range(8)
