# SPDX-License-Identifier: MIT
"""Prints the token that a client for Python gets with default options."""
import os
import sys

env = os.environ
tenant, client, secret, scope = (env[k] for k in ("AZURE_TENANT_ID", "AZURE_CLIENT_ID", "AZURE_CLIENT_SECRET", "SCOPE"))
pem, authority = env["AZURE_CLIENT_CERTIFICATE_PATH"], "https://login.microsoftonline.com/" + tenant


def msal(flow):
    import hashlib
    import ssl

    import msal

    text = open(pem).read()
    certificate = text[text.index("-----BEGIN CERT"):text.index("-----END CERT")] + "-----END CERTIFICATE-----\n"
    thumbprint = hashlib.sha1(ssl.PEM_cert_to_DER_cert(certificate)).hexdigest()
    credential = {
        "secret": lambda: secret,
        "certificate": lambda: {"private_key": text[text.index("-----BEGIN PRIVATE"):], "thumbprint": thumbprint},
        "assertion": lambda: {"client_assertion": open(env["AZURE_FEDERATED_TOKEN_FILE"]).read()},
    }[flow]()
    app = msal.ConfidentialClientApplication(client, authority=authority, client_credential=credential)
    answer = app.acquire_token_for_client([scope])
    return answer.get("access_token") or sys.exit(answer.get("error_description"))


def identity(flow):
    from azure import identity

    credential = {
        "secret": lambda: identity.ClientSecretCredential(tenant, client, secret),
        "certificate": lambda: identity.CertificateCredential(tenant, client, pem),
        "environment": identity.EnvironmentCredential,
        "default": identity.DefaultAzureCredential,
        "machine": identity.ManagedIdentityCredential,
        "identity": lambda: identity.ManagedIdentityCredential(client_id=env["IDENTITY"]),
    }[flow]()
    return credential.get_token(scope).token


def adal(flow):
    import adal

    return adal.AuthenticationContext(authority).acquire_token_with_client_credentials(env["API"], client, secret)["accessToken"]


print({"msal": msal, "identity": identity, "adal": adal}[sys.argv[1]](sys.argv[2]))
