# SPDX-License-Identifier: MIT
"""A program with azure-identity (pip install azure-identity): nothing in it knows of the
agent. eval "$(apponly agent env --dir DIR)" and python3 client.py."""

import os
import time

from azure.identity import DefaultAzureCredential

token = DefaultAzureCredential().get_token(os.environ["APPONLY_SCOPE"])
print(f"a token for {(token.expires_on - time.time()) / 60:.0f} minutes")
