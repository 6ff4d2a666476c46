"""Which field of Istio's API becomes which of Envoy's: tables beside the models, and the page made of them."""
