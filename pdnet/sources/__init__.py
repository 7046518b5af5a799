"""How data gets onto the disk: clips, single images, archives, the working copy."""
