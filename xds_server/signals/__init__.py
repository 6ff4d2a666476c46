"""What proxies count, put together by who called whom: the golden signals of a mesh. Pure: no clock, no gRPC."""
