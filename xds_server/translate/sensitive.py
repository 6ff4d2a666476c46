"""The fields that Envoy's API marks as secret (`udpa.annotations.sensitive`), as one table.

betterproto2 keeps no annotations, so they are written out; the test compares this with Envoy's own descriptors.
"""

from __future__ import annotations

_TLS = "envoy.extensions.transport_sockets.tls.v3."
_AWS = "envoy.extensions.common.aws.v3."
_HTTP = "envoy.extensions.filters.http."
_REDIS = "envoy.extensions.filters.network.redis_proxy.v3."

SENSITIVE_FIELDS = frozenset(
    {
        (_TLS + "TlsCertificate", "private_key"),
        (_TLS + "TlsCertificate", "password"),
        (_TLS + "TlsCertificate", "pkcs12"),
        (_TLS + "TlsSessionTicketKeys", "keys"),
        (_TLS + "PrivateKeyProvider", "typed_config"),
        (_TLS + "GenericSecret", "secret"),
        (_TLS + "GenericSecret", "secrets"),
        ("envoy.config.core.v3.GrpcService.GoogleGrpc.SslCredentials", "private_key"),
        ("envoy.config.grpc_credential.v3.FileBasedMetadataConfig", "secret_data"),
        (
            "envoy.extensions.grpc_service.call_credentials.file_based_metadata.v3.FileBasedMetadataCallCredentials",
            "secret_data",
        ),
        ("envoy.config.trace.v3.ClientConfig", "backend_token"),
        (_AWS + "AssumeRoleWithWebIdentityCredentialProvider", "web_identity_token_data_source"),
        (_AWS + "CredentialsFileCredentialProvider", "credentials_data_source"),
        (_AWS + "IAMRolesAnywhereCredentialProvider", "private_key"),
        (_AWS + "InlineCredentialProvider", "secret_access_key"),
        (_AWS + "InlineCredentialProvider", "session_token"),
        (_HTTP + "api_key_auth.v3.ApiKeyAuth", "credentials"),
        (_HTTP + "api_key_auth.v3.ApiKeyAuthPerRoute", "credentials"),
        (_HTTP + "basic_auth.v3.BasicAuth", "users"),
        (_HTTP + "basic_auth.v3.BasicAuthPerRoute", "users"),
        (_HTTP + "ext_authz.v3.CheckSettings", "context_extensions"),
        (_REDIS + "RedisProtocolOptions", "auth_password"),
        (_REDIS + "RedisProtocolOptions", "auth_username"),
        (_REDIS + "RedisProtocolOptions.Credential", "auth_password"),
        (_REDIS + "RedisProtocolOptions.Credential", "auth_username"),
        (_REDIS + "RedisProxy", "downstream_auth_password"),
        (_REDIS + "RedisProxy", "downstream_auth_passwords"),
        (_REDIS + "RedisProxy", "downstream_auth_username"),
    }
)
"""(full message name, field name)."""
OFTEN_SENSITIVE_FIELDS = frozenset(
    {
        ("envoy.config.core.v3.HttpService", "request_headers_to_add"),
        ("envoy.config.core.v3.GrpcService", "initial_metadata"),
    }
)
"""The same of fields that Envoy's API does not mark, and policies put tokens into: headers for collectors."""
