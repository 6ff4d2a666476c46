"""The pipeline run once over files, without a server: what `check` and `render` look at."""

from __future__ import annotations

import asyncio
import os
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

from xds_server.admission import Admission
from xds_server.compiler.premises import Environment, Premises
from xds_server.errors import ConfigurationError
from xds_server.identity.credential_files import read_credentials
from xds_server.mesh.credential import CredentialSet
from xds_server.mesh.identity import TrustDomain
from xds_server.mesh.mesh import Mesh
from xds_server.mesh.workload import Workload
from xds_server.pipeline import Generation, Pipeline
from xds_server.policy.document import PolicySet
from xds_server.store.directory import Rules, read_policies
from xds_server.validation.validator import find_validator
from xds_server.xds.snapshot import Snapshot


class Offline:
    """The policies at some paths, compiled.

    Attributes:
        generation: documents in force, and every problem.
    """

    def __init__(
        self,
        paths: Sequence[Path],
        default_namespace: str,
        root_namespace: str = Mesh.root_namespace,
        secrets: Path | None = None,
        trust_domain: TrustDomain = TrustDomain(),
    ) -> None:
        self._pipeline = Pipeline(Premises(root_namespace, default_namespace, trust_domain, Environment(os.environ)))
        reading = read_policies(paths, rules=Rules(default_namespace=default_namespace))
        credentials = read_credentials(secrets) if secrets else None
        self.generation: Generation = self._pipeline.compile(reading.policies, credentials=credentials)

    def snapshot_for(self, workload: Workload) -> Snapshot:
        """What a server with these policies would send to `workload`."""
        return self._pipeline.snapshot_for(self.generation, workload)


@dataclass(frozen=True, slots=True)
class Checked:
    """What a server would make of some policies.

    Attributes:
        generation: documents in force, and every problem.
        not_validated: why Envoy itself was not asked; "" when it was.
    """

    generation: Generation
    not_validated: str


def checked(
    paths: Sequence[Path],
    default_namespace: str,
    root_namespace: str = Mesh.root_namespace,
    *,
    validation: bool = True,
    envoy: Path | None = None,
    secrets: Path | None = None,
    trust_domain: TrustDomain = TrustDomain(),
) -> Checked:
    """The policies at some paths, and what Envoy would refuse of what they mean to anybody.

    Args:
        paths: files and directories.
        default_namespace: of documents that name none.
        root_namespace: whose policies hold for the whole mesh.
        validation: ask an Envoy, where there is one.
        envoy: that Envoy; None looks for one.
        secrets: the secrets directory.
        trust_domain: the server's.

    Raises:
        ConfigurationError: the Envoy that is named does not work.
    """
    reading = read_policies(paths, rules=Rules(default_namespace=default_namespace))
    credentials = read_credentials(secrets) if secrets else None
    pipeline = Pipeline(Premises(root_namespace, default_namespace, trust_domain, Environment(os.environ)))
    return asyncio.run(_admitted(pipeline, reading.policies, credentials, validation=validation, envoy=envoy))


async def _admitted(
    pipeline: Pipeline,
    policies: PolicySet,
    credentials: CredentialSet | None,
    *,
    validation: bool,
    envoy: Path | None,
) -> Checked:
    found = await find_validator(envoy) if validation else "not asked for"
    if validation and envoy is not None and isinstance(found, str):
        raise ConfigurationError(f"--envoy: {found}; name one that works here, or ask none with --no-validation")
    validator = None if isinstance(found, str) else found
    with ThreadPoolExecutor(1) as worker:
        admission = Admission(pipeline, worker, validator)
        admission.credentials = credentials
        generation = await admission.admit(policies)
    return Checked(generation, found if isinstance(found, str) else "")
