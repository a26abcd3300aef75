"""Puts conf/ into the wheel, and only there: an editable install reads the checkout's own conf/."""

from hatchling.builders.hooks.plugin.interface import BuildHookInterface


class ConfIntoWheel(BuildHookInterface):
    def initialize(self, version, build_data):
        if version != "editable":  # a copy in site-packages would go stale while conf/ is edited
            build_data["force_include"]["conf"] = "ssl_patches/conf"
