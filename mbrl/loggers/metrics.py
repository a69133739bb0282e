"""The glossary: what each metric means. A planner's own (`planner/…`) are documented on its class."""

METRICS: dict[str, str] = {
    "env_steps": "Real steps taken by collection so far, warm-up included; evaluation is not counted.",
    "wall_seconds": "Seconds since the run began, cumulative over resumes.",
    "loss/dynamics": "Mean squared error of the predicted change of the observation, in units of that change's own spread (for "
    "model=probabilistic twice the Gaussian's negative log-likelihood, and its bounds' penalty); mean over members and the last tenth of "
    "the phase's updates.",
    "loss/reward": "Mean squared error of the predicted reward, in units of the reward's own spread; same mean.",
    "loss/termination": "Cross-entropy of the predicted termination against the real one, in nats a step; same mean.",
    "loss/value": "Mean squared error of the value against its targets, in squared units of reward; mean over the last tenth "
    "of the phase's updates.",
    "loss/curious_value": "The same, in the same units, of the value that collection plans with where "
    "training.disagreement_bonus is not 0.",
    "validation/dynamics": "The same as loss/dynamics, in the same units, on held-out transitions, by the weights at the end of the phase, "
    "each counted once, where steps that end a task may count several times in training.",
    "validation/reward": "The same as loss/reward, in the same units, on held-out transitions; likewise.",
    "validation/termination": "The same as loss/termination, in nats a step, on held-out transitions; likewise.",
    "learn/updates": "Gradient steps of the model in this phase: fewer than asked where the validation error ended it.",
    "value/mean": "Mean over members and states of the fitted value, in units of reward: what the agent expects, discounted.",
    "value/disagreement": "Standard deviation over members of the fitted value, in units of reward; mean over states.",
    "value/curious_mean": "The same as value/mean, in units of reward, of the value that collection plans with where "
    "training.disagreement_bonus is not 0.",
    "value/curious_disagreement": "The same as value/disagreement, in units of reward, of that value.",
    "episode/return": "Undiscounted sum of rewards of one episode of collection, exploration included, in units of reward.",
    "episode/length": "Steps of that episode.",
    "evaluation/return_mean": "Mean over evaluation episodes of the undiscounted return, without exploration, in units of "
    "reward: the score of a run is its last one.",
    "evaluation/return_std": "Standard deviation of those returns over episodes (population, not sample), in units of reward.",
    "evaluation/return_min": "The worst of those returns, in units of reward.",
    "evaluation/returns": "All of those returns, one an episode, in the order of their seeds, in units of reward.",
    "time/collect": "Seconds of collection since the last row that told them, planning and the environment included.",
    "time/learn": "Seconds that the phase of learning took, compilation included the first time.",
    "time/evaluate": "Seconds that the evaluation took.",
}
