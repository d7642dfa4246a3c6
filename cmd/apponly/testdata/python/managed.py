# SPDX-License-Identifier: MIT
"""azure-identity, as Debian has it, against an agent that the environment names:
python3 managed.py SCOPE CASE…. Prints a line of JSON for each case: how long it took,
and the error if there was one."""

import json
import os
import sys
import time

from azure.identity import DefaultAzureCredential, ManagedIdentityCredential

CREDENTIALS = {
    "plain": lambda: ManagedIdentityCredential(),
    "client": lambda: ManagedIdentityCredential(client_id=os.environ["TEST_CLIENT_ID"]),
    "other": lambda: ManagedIdentityCredential(client_id="11111111-2222-4333-8444-555555555555"),
    "default": lambda: DefaultAzureCredential(),
}

scope, *cases = sys.argv[1:]
for name in cases:
    start, error = time.time(), ""
    try:
        credential = CREDENTIALS[name]()
        for _ in range(3):
            if not credential.get_token(scope).token.startswith("eyJ"):
                raise ValueError("no token")
    except Exception as e:
        error = str(e)
    print(json.dumps({"case": name, "took": time.time() - start, "error": error}), flush=True)
