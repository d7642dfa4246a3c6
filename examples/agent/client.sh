#!/bin/sh
# SPDX-License-Identifier: MIT
# curl, with the variables of: eval "$(apponly agent env --dir DIR)"
# Neither the secret nor the token is in the arguments of a process.
set -eu
agent=${IDENTITY_ENDPOINT%/msi/token}
token=$(printf 'header = "X-IDENTITY-HEADER: %s"\n' "$IDENTITY_HEADER" |
  curl -sSf -K - --get --data-urlencode "scope=$APPONLY_SCOPE" "$agent/v1/authorization-header")
if [ $# -gt 0 ]; then
  printf 'Authorization: %s\n' "$token" | curl -sSf -H @- "$@"
else
  echo "a token of ${#token} characters"
fi
