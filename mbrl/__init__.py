"""Model-based reinforcement learning experiments: learned world models, planners, and the loop that joins them."""
