"""What a real Envoy says of what is about to be sent: it is run in validate mode, beside the push path."""
