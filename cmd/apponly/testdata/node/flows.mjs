// SPDX-License-Identifier: MIT
//
// Microsoft's clients for Node, as they come from the registry, against a
// running emulator: node flows.mjs DIR/emulator.json, with NODE_EXTRA_CA_CERTS
// naming its ca.pem. Prints a line for each flow and fails at the first that
// does not do what it does at Entra.

import assert from "node:assert/strict";
import { createPublicKey, verify, X509Certificate } from "node:crypto";
import { readFileSync } from "node:fs";

import { ClientCertificateCredential, ClientSecretCredential, WorkloadIdentityCredential } from "@azure/identity";
import { ConfidentialClientApplication } from "@azure/msal-node";

const demo = JSON.parse(readFileSync(process.argv[2], "utf8"));
const authority = `${demo.authority_host}/${demo.tenant_id}`;
const { keys } = await (await fetch(`${authority}/discovery/v2.0/keys`)).json();

function decode(part) {
  return JSON.parse(Buffer.from(part, "base64url"));
}

// checkToken demands what an API would: a signature by a key that is served,
// and the claims of the demo app.
function checkToken(token, strength) {
  const [head, body, signature] = token.split(".");
  const jwk = keys.find((k) => k.kid === decode(head).kid);
  assert.ok(jwk, "the key of the token is not served");
  const key = createPublicKey({ key: jwk, format: "jwk" });
  assert.ok(verify("RSA-SHA256", Buffer.from(`${head}.${body}`), key, Buffer.from(signature, "base64url")), "signature");
  const claims = decode(body);
  assert.equal(claims.aud, demo.api_audience);
  assert.equal(claims.tid, demo.tenant_id);
  assert.equal(claims.azp, demo.client_id);
  assert.equal(claims.azpacr, strength);
  assert.deepEqual(claims.roles, ["Data.Read.All"]);
}

const identityOptions = { authorityHost: demo.authority_host, disableInstanceDiscovery: true };
const identity = {
  secret: (secret) => new ClientSecretCredential(demo.tenant_id, demo.client_id, secret, identityOptions),
  certificate: () =>
    new ClientCertificateCredential(demo.tenant_id, demo.client_id, demo.certificate_path, identityOptions),
  federated: () =>
    new WorkloadIdentityCredential({
      ...identityOptions,
      tenantId: demo.tenant_id,
      clientId: demo.client_id,
      tokenFilePath: demo.federated_token_file,
    }),
};

const pem = readFileSync(demo.certificate_path, "utf8");
const thumbprintSha256 = new X509Certificate(pem).fingerprint256.replaceAll(":", "");

function msal(credential) {
  const app = new ConfidentialClientApplication({
    auth: {
      clientId: demo.client_id,
      authority,
      knownAuthorities: [new URL(demo.authority_host).host],
      ...credential,
    },
  });
  return app.acquireTokenByClientCredential({ scopes: [demo.scope] });
}

const refusedSecret = (err) => /AADSTS7000215\b/.test(err.message);

const flows = {
  "identity secret": async () => checkToken((await identity.secret(demo.client_secret).getToken(demo.scope)).token, "1"),
  "identity certificate": async () => checkToken((await identity.certificate().getToken(demo.scope)).token, "2"),
  "identity federated": async () => checkToken((await identity.federated().getToken(demo.scope)).token, "2"),
  "identity wrong secret": () => assert.rejects(identity.secret("wrong").getToken(demo.scope), refusedSecret),
  "msal secret": async () => checkToken((await msal({ clientSecret: demo.client_secret })).accessToken, "1"),
  "msal certificate": async () =>
    checkToken((await msal({ clientCertificate: { thumbprintSha256, privateKey: pem } })).accessToken, "2"),
  "msal federated": async () =>
    checkToken(
      (await msal({ clientAssertion: async () => readFileSync(demo.federated_token_file, "utf8") })).accessToken,
      "2",
    ),
  "msal wrong secret": () => assert.rejects(msal({ clientSecret: "wrong" }), refusedSecret),
};

for (const [name, flow] of Object.entries(flows)) {
  try {
    await flow();
  } catch (err) {
    console.error(`${name}: ${err.stack ?? err}`);
    process.exit(1);
  }
  console.log(`ok ${name}`);
}
