"""Messages as tests compare them."""

from __future__ import annotations

from typing import Any

import betterproto2

from xds_server.translate.encode import encode
from xds_server.translate.to_json import message_json


def shown(message: betterproto2.Message) -> dict[str, Any]:
    """`message` in proto-JSON with snake_case names: only what is written to the wire."""
    return message_json(type(message), encode(message))
