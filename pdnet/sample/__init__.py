"""The embedded sample: rendered clips of articulated people whose true parts and joints are known."""
