"""The meaning of each metric. A planner's own metrics (`planner/…`) are documented on its class."""

METRICS: dict[str, str] = {
    "env_steps": "Real steps collected so far, warm-up included; evaluation is not counted.",
    "wall_seconds": "Seconds since the run started, summed over resumes.",
    "loss/dynamics": "Mean squared error of the predicted change of the observation, in units of "
    "that change's standard deviation (model=probabilistic: twice the Gaussian's negative "
    "log-likelihood, plus the penalty on its variance bounds); mean over members and the last "
    "tenth of the phase's updates.",
    "loss/reward": "Mean squared error of the predicted reward, in units of the reward's standard "
    "deviation; same mean.",
    "loss/termination": "Cross-entropy of the predicted termination against the real one, in nats "
    "per step; same mean.",
    "loss/value": "Mean squared error of the value against its targets, in squared units of a "
    "typical reward (its root mean square); mean over the last tenth of the phase's updates.",
    "loss/curious_value": "The same as loss/value, in the same units, for the value that "
    "collection plans with if model.disagreement_bonus is not 0.",
    "validation/dynamics": "The same as loss/dynamics, in the same units, on held-out transitions "
    "with the weights at the end of the phase; each transition counts once, whereas training may "
    "repeat terminal ones.",
    "validation/reward": "The same as loss/reward, in the same units, on held-out transitions with "
    "the weights at the end of the phase.",
    "validation/termination": "The same as loss/termination, in nats per step, on held-out "
    "transitions with the weights at the end of the phase.",
    "learn/updates": "Gradient steps of the model in this phase, fewer than configured after early "
    "stopping.",
    "value/mean": "Mean over members and states of the fitted value, in units of reward: the "
    "discounted return that the agent expects, relative to the mean reward while rewards are "
    "centred (model.fit_model.center_rewards).",
    "value/disagreement": "Standard deviation over members of the fitted value, in units of "
    "reward; mean over states.",
    "value/curious_mean": "The same as value/mean, in units of reward, for the value that "
    "collection plans with if model.disagreement_bonus is not 0.",
    "value/curious_disagreement": "The same as value/disagreement, in units of reward, for the "
    "value that collection plans with if model.disagreement_bonus is not 0.",
    "episode/return": "Undiscounted return of one episode of collection, exploration included, in "
    "units of reward.",
    "episode/length": "Number of steps of that episode.",
    "evaluation/return_mean": "Mean over evaluation episodes of the undiscounted return without "
    "exploration, in units of reward; the score of a run is its last one.",
    "evaluation/return_std": "Standard deviation of those returns over episodes (population, not "
    "sample), in units of reward.",
    "evaluation/return_min": "The lowest of those returns, in units of reward.",
    "evaluation/returns": "All of those returns, one per episode in the order of their seeds, in "
    "units of reward.",
    "evaluation/length_mean": "Mean number of steps of the evaluation episodes.",
    "evaluation/lengths": "Number of steps of each of them, in the order of their seeds.",
    "time/collect": "Seconds of collection since the last row with this metric, planning and the "
    "environment included.",
    "time/learn": "Seconds that the learning phase took, including compilation the first time.",
    "time/evaluate": "Seconds that the evaluation took.",
}
