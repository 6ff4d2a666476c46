"""The exceptions of this package, in one tree.

XdsServerError
├── ConfigurationError      the operator's mistake: a flag, an address in use, an unreadable root; exit with its text
├── InconsistentSnapshot    our mistake: a snapshot names a resource that it does not hold; keep the last good one
├── UnusableIdentity        a certificate, key or token that must not be used or believed; its text holds no secret
├── CannotTell              something in a proxy's configuration decides by what is not known to `explain/`
└── ProtocolViolation       a peer's mistake: close that stream only, with the gRPC status it names

A policy author's mistake is no exception but a `problem.Problem`.
"""

from __future__ import annotations


class XdsServerError(Exception):
    """Base of everything this package raises on purpose."""


class ConfigurationError(XdsServerError):
    """The operator asked for something that cannot be; the message says what to do instead."""


class InconsistentSnapshot(XdsServerError):
    """A snapshot names resources that it does not hold: a defect of ours, never served."""


class UnusableIdentity(XdsServerError):
    """A certificate, a key or a token must not be used, sent or believed; the message says why and quotes no secret."""


class CannotTell(XdsServerError):
    """A proxy decides by something that this server never sends and cannot follow; the message says by what."""


class ProtocolViolation(XdsServerError):
    """A peer broke the xDS protocol; its stream is closed and nothing else is touched.

    Attributes:
        status: name of the gRPC status code to answer with, such as "INVALID_ARGUMENT".
    """

    def __init__(self, status: str, message: str) -> None:
        super().__init__(message)
        self.status = status
