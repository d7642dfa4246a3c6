// SPDX-License-Identifier: MIT
// Prints the token that a client for Node gets with default options.
import { readFileSync } from "node:fs";
import * as identity from "@azure/identity";
import * as msal from "@azure/msal-node";

const { AZURE_TENANT_ID: tenant, AZURE_CLIENT_ID: client, AZURE_CLIENT_SECRET: secret, SCOPE: scope, ...env } = process.env;
const pem = env.AZURE_CLIENT_CERTIFICATE_PATH;

const credentials = {
  secret: () => new identity.ClientSecretCredential(tenant, client, secret),
  certificate: () => new identity.ClientCertificateCredential(tenant, client, pem),
  workload: () => new identity.WorkloadIdentityCredential(),
  environment: () => new identity.EnvironmentCredential(),
  default: () => new identity.DefaultAzureCredential(),
  identity: () => new identity.ManagedIdentityCredential({ clientId: env.IDENTITY }),
  machine: () => new identity.ManagedIdentityCredential(),
};

async function byMsal(flow) {
  const { createHash, X509Certificate } = await import("node:crypto");
  const text = readFileSync(pem, "utf8");
  const auth = { clientId: client, authority: `https://login.microsoftonline.com/${tenant}` };
  if (flow === "secret") auth.clientSecret = secret;
  if (flow === "assertion") auth.clientAssertion = readFileSync(env.AZURE_FEDERATED_TOKEN_FILE, "utf8");
  if (flow === "certificate") {
    const thumbprintSha256 = createHash("sha256").update(new X509Certificate(text).raw).digest("hex");
    auth.clientCertificate = { thumbprintSha256, privateKey: text.slice(text.indexOf("-----BEGIN PRIVATE")) };
  }
  const answer = await new msal.ConfidentialClientApplication({ auth }).acquireTokenByClientCredential({ scopes: [scope] });
  return answer.accessToken;
}

const [kind, flow] = process.argv.slice(2);
console.log(kind === "msal" ? await byMsal(flow) : (await credentials[flow]().getToken(scope)).token);
