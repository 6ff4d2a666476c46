"""Everything that can go wrong around the server, done to a running one."""
