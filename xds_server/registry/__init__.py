"""Which workloads have registered themselves: who is there, who has left, and for how long that is remembered."""
