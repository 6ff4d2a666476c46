"""Plain values as YAML that people read and edit."""

from __future__ import annotations

from typing import Any

import yaml


def plain_yaml(value: object) -> str:
    """`value` in YAML, keys in their order; equal values are written out again, not pointed at by an anchor."""
    return yaml.dump(value, Dumper=_Plain, sort_keys=False, allow_unicode=True, width=120)


class _Plain(yaml.SafeDumper):
    def ignore_aliases(self, data: Any) -> bool:
        return True
