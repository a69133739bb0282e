import pytest

from mbrl.config.compose import compose
from mbrl.config.resolve import resolve
from mbrl.errors import ConfigError
from mbrl.experiment import build_loggers
from tests.configs import new_run_info


@pytest.mark.parametrize(
    ("setting", "message"),
    [
        (
            "wandb.projekt=mine",
            r"logger\.wandb\.projekt: not a setting of .*WandbLogger\. Did you mean 'project'",
        ),
        (
            "files.folder=/tmp",
            r"logger\.files\.folder: not a setting of .*FilesLogger\. It has run_info",
        ),
        ("console.colour=red", r"logger\.console\.colour: not a setting of .*ConsoleLogger"),
    ],
)
def test_a_setting_that_a_logger_does_not_have_is_refused(setting, message):
    config = compose(["logger=wandb", f"+logger.{setting}"])
    with pytest.raises(ConfigError, match=message):
        list(build_loggers(resolve(config), new_run_info(config)))
