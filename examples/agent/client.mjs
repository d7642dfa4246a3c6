// SPDX-License-Identifier: MIT
//
// A program with @azure/identity (npm install @azure/identity): nothing in it knows of
// the agent. eval "$(apponly agent env --dir DIR)" and node client.mjs.

import { DefaultAzureCredential } from "@azure/identity";

const token = await new DefaultAzureCredential().getToken(process.env.APPONLY_SCOPE);
console.log(`a token for ${Math.round((token.expiresOnTimestamp - Date.now()) / 60000)} minutes`);
