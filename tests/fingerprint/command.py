"""`airsift catalogue`, called in this process."""

from functools import partial

from tests import command

airsift = partial(command.airsift, "catalogue")
