"""Model-based reinforcement learning experiments: world models, planners and a training loop."""
