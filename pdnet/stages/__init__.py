"""One module a DVC stage: what it imports is the code that the stage depends on."""
