"""The embedded sample: rendered clips of articulated people, true parts and joints known."""
