"""What may be accepted although it looks wrong, as patterns; each was judged by hand."""

REVIEWED = (
    # Facts that are unknown, and what is optional.
    r"env\.(kwargs|time_step|episode_limit|step_timeout|suggested_steps|\w+_score) is null .*",
    r"env\.(known_reward|reward_range|known_termination|true_dynamics) is null .*",
    r"(training\.checkpoint_every|optimizer\.momentum|model\.reward\.range) is null .*",
    r"(training\.final_evaluation_episodes|model\.fit_model\.patience) is a number .*",
    r"(env\.\w+_score|env\.episode_limit|env\.time_step) is a number instead of null",
    r"env\.kwargs is a mapping instead of null",
    r"logger\.wandb\.(mode|project) is text .*",
    r"logger\.wandb\.(entity|name|group|tags) is (text|null|a list) .*",
    # One package, or several.
    r"trust is text instead of a list",
    # A schedule instead of a constant.
    r"(training\.epsilon|optimizer\.learning_rate) is a mapping instead of a number",
    # Returns of an environment may have any size; its time step is only recorded.
    r"env\.(\w+_score|time_step) is huge",
    # It clips nothing.
    r"optimizer\.max_norm is huge",
    # Learning diverges, and stops in one sentence.
    r"optimizer\.(learning_rate|weight_decay) is huge",
    # All iterations but the first have the smallest population.
    r"planner\.population_decay is huge",
    # A row of another kind of environment; its types are checked.
    r"by_termination\..* has no effect",
    r"by_termination\..* is huge",
)
