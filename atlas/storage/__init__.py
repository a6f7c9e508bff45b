"""Where an atlas lies: local folders, URLs, whole files. Imports no other room of the atlas."""
