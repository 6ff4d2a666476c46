"""What proxies have told of requests, remembered within bounds: spans, and entries of access logs."""
