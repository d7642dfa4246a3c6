// SPDX-License-Identifier: MIT
//
// The Azure SDK for Node and MSAL Node, as they come from the registry, against an agent that the
// environment names: node managed.mjs SCOPE CASE…. Prints a line of JSON for each case:
// how long it took, and the error if there was one.

import { DefaultAzureCredential, ManagedIdentityCredential } from "@azure/identity";
import { ManagedIdentityApplication } from "@azure/msal-node";

function msal(managedIdentityIdParams) {
  const app = new ManagedIdentityApplication({ managedIdentityIdParams });
  const getToken = async (scope) => ({ token: (await app.acquireToken({ resource: scope.replace(/\/\.default$/, "") })).accessToken });
  return { getToken };
}

const [scope, ...cases] = process.argv.slice(2);
const credentials = {
  plain: () => new ManagedIdentityCredential(),
  client: () => new ManagedIdentityCredential({ clientId: process.env.TEST_CLIENT_ID }),
  other: () => new ManagedIdentityCredential({ clientId: "11111111-2222-4333-8444-555555555555" }),
  default: () => new DefaultAzureCredential(),
  msal: () => msal(),
  "msal-client": () => msal({ userAssignedClientId: process.env.TEST_CLIENT_ID }),
};
for (const name of cases) {
  const start = Date.now();
  let error = "";
  try {
    const credential = credentials[name]();
    for (let i = 0; i < 3; i++) {
      const { token } = await credential.getToken(scope);
      if (!token.startsWith("eyJ")) throw new Error("no token");
    }
  } catch (e) {
    error = String(e);
  }
  console.log(JSON.stringify({ case: name, took: (Date.now() - start) / 1000, error }));
}
