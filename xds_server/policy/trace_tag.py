"""Where the value of a tag on a span comes from, as Telemetry and MeshConfig write it."""

from __future__ import annotations

from collections.abc import Iterable

from xds_server.policy.model import Finding, PolicyModel
from xds_server.policy.values import only_one


class LiteralTag(PolicyModel):
    """The same on every span."""

    value: str = ""

    def mistakes(self) -> Iterable[Finding]:
        """Istio's."""
        if not self.value:
            yield Finding("a literal tag needs a value", "write value: ...", at=("value",))


class NamedTag(PolicyModel):
    """What the proxy's environment or the request has under `name`, else `default_value`."""

    name: str = ""
    default_value: str = ""

    def mistakes(self) -> Iterable[Finding]:
        """Istio's."""
        if not self.name:
            yield Finding("the tag does not say where its value is from", "write name: ...", at=("name",))


class CustomTag(PolicyModel):
    """One tag, from one source."""

    literal: LiteralTag | None = None
    environment: NamedTag | None = None
    header: NamedTag | None = None

    def mistakes(self) -> Iterable[Finding]:
        """Proto's oneof, and Envoy's demand that there is one."""
        sources = self._sources()
        yield from only_one(self, *sources)
        if all(getattr(self, name) is None for name in sources):
            yield Finding("the tag has no value", f"write one of {', '.join(sources)}")

    def _sources(self) -> tuple[str, ...]:
        return "literal", "environment", "header"


class FormattedCustomTag(CustomTag):
    """The same in a Telemetry, where an access log's operators are a source too."""

    formatter: LiteralTag | None = None

    def _sources(self) -> tuple[str, ...]:
        return (*super()._sources(), "formatter")
