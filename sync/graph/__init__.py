"""Microsoft Graph: `wire` is pure, `client` and `signin` are thin, `session` reaches two hosts and no other."""
