"""Personal access tokens: for scripts, made and revoked by their user, with limited rights."""
