#!/usr/bin/env bash
# Clients of Entra in other languages, unmodified and with default options, against the emulator:
# they get what DIR/env-foreign exports, and nothing else. What is not on this machine is
# skipped, with a word; it fails if anything that ran did not get its token.
#
#   compat/other.sh            # builds the command
#   compat/other.sh ./apponly  # takes this one
set -uo pipefail
here=$(cd "$(dirname "$0")" && pwd)
work=$(mktemp -d)
emulator=
trap '[ -z "$emulator" ] || kill "$emulator"; wait 2>/dev/null; rm -rf "$work"' EXIT

command=${1:-$work/apponly}
[ $# -gt 0 ] || (cd "$here/../cmd/apponly" && go build -o "$command" .) || exit 1
"$command" emulator --proxy 127.0.0.1:0 --dir "$work/entra" >/dev/null 2>"$work/log" &
emulator=$!
for _ in $(seq 100); do [ -e "$work/entra/emulator.json" ] && break; sleep 0.1; done
[ -e "$work/entra/emulator.json" ] || { cat "$work/log"; exit 1; }
. "$work/entra/env-foreign"
said() { sed "s/.*\"$1\":\"\([^\"]*\)\".*/\1/" "$work/entra/emulator.json"; }
SCOPE=$(said scope) API=$(said api_audience) IDENTITY=$(said managed_identity_client_id)
home=$HOME
export SCOPE API IDENTITY HOME=$work AZURE_CONFIG_DIR=$work/azure AZURE_CORE_COLLECT_TELEMETRY=0

export work here python=/usr/bin/python3 # of Debian, whose packages these are

failed=0
# row PROGRAM FLOW COMMAND…: what the command prints last has to be a token.
row() {
  local program=$1 flow=$2 out; shift 2
  if out=$(timeout 120 bash -c '"$@"' _ "$@" 2>"$work/err") && [[ $(tail -n1 <<<"$out") =~ ^[A-Za-z0-9_-]+\.[A-Za-z0-9_-]+\.[A-Za-z0-9_-]+$ ]]; then
    printf '%-34s %-28s ok\n' "$program" "$flow"
  else
    printf '%-34s %-28s FAILED: %s\n' "$program" "$flow" "$(tail -n1 "$work/err" | cut -c1-300)"
    failed=1
  fi
}
skip() { printf '%-34s %-28s skipped: %s\n' "$1" "" "$2"; }
export -f said
# past the App Service site, by the proxy to the metadata service
machine() { unset IDENTITY_ENDPOINT IDENTITY_HEADER; "$@"; }

has() { "$python" -c "import $1" 2>/dev/null; }
py() { "$python" "$here/other.py" "$@"; }
export -f machine py
if has msal; then
  v="msal (Python) $("$python" -c 'import msal; print(msal.__version__)')"
  for flow in secret certificate assertion; do row "$v" "$flow" py msal "$flow"; done
else skip "msal (Python)" "python3-msal is not here"; fi
if has azure.identity; then
  v="azure-identity $("$python" -c 'from azure.identity._version import VERSION as v; print(v)')"
  for flow in secret certificate environment default; do row "$v" "$flow" py identity "$flow"; done
  for flow in machine identity; do
    row "$v" "$flow, App Service" py identity "$flow"
    row "$v" "$flow, IMDS" machine py identity "$flow"
  done
else skip "azure-identity" "python3-azure is not here"; fi
if has adal; then row "adal (Python) $("$python" -c 'import adal; print(adal.__version__)')" secret py adal secret
else skip "adal (Python)" "python3-adal is not here"; fi

if command -v az >/dev/null; then
  v="azure-cli $(env -u HTTPS_PROXY -u https_proxy az version -o tsv --query '"azure-cli"' 2>/dev/null)"
  az_token() { az login --only-show-errors -o none "$@" && az account get-access-token --resource "https://management.azure.com" --query accessToken -o tsv && az logout; }
  export -f az_token
  sp=(--service-principal -u "$AZURE_CLIENT_ID" --tenant "$AZURE_TENANT_ID" --allow-no-subscriptions)
  row "$v" "login, secret" az_token "${sp[@]}" --password="$AZURE_CLIENT_SECRET"
  row "$v" "login, certificate" az_token "${sp[@]}" -p "$AZURE_CLIENT_CERTIFICATE_PATH"
  row "$v" "login, federated token" az_token "${sp[@]}" --federated-token "$(cat "$AZURE_FEDERATED_TOKEN_FILE")"
  row "$v" "login, identity" machine az_token --identity --allow-no-subscriptions
else skip azure-cli "az is not here"; fi

if command -v rclone >/dev/null; then
  # It has no storage to list: the token request is looked for in the emulator's record.
  rclone_token() {
    before=$(asked); timeout 15 rclone lsd --retries 1 --low-level-retries 1 --contimeout 5s "$@" >/dev/null 2>&1; after=$(asked)
    [ "$after" -gt "$before" ] && echo seen.by.emulator
  }
  asked() { curl -s --noproxy '*' "$(said authority_host)/_emulator/requests" | tr '}' '\n' | grep -c "\"status\":200"; }
  export -f rclone_token asked
  printf '{"appId":"%s","password":"%s","tenant":"%s"}' "$AZURE_CLIENT_ID" "$AZURE_CLIENT_SECRET" "$AZURE_TENANT_ID" >"$work/sp.json"
  v=$(rclone version | head -1)
  row "$v" "azureblob, service principal" rclone_token ":azureblob,account=demo,service_principal_file=$work/sp.json:"
  row "$v" "azureblob, identity" machine rclone_token ":azureblob,account=demo,use_msi:"
else skip rclone "rclone is not here"; fi

if command -v npm >/dev/null && (
  # The registry is neither behind the proxy nor known to the emulator.
  unset HTTPS_PROXY https_proxy HTTP_PROXY http_proxy NODE_USE_ENV_PROXY
  export HOME=$home
  cd "$work" && cp "$here/other.mjs" . && npm init -y && npm install --ignore-scripts --no-audit --no-fund @azure/identity@4.13.1 @azure/msal-node@7.2.3
) >"$work/npm" 2>&1; then
  # Node reads the proxy variables from 24 on; an older one gets one from its own registry.
  node=node
  if [ "$(node -p 'parseInt(process.versions.node)')" -lt 24 ]; then (
    unset HTTPS_PROXY https_proxy HTTP_PROXY http_proxy NODE_USE_ENV_PROXY
    export HOME=$home
    mkdir "$work/node24" && cd "$work/node24" && npm init -y && npm install --no-audit --no-fund node@24
  ) >"$work/npm" 2>&1 && node=$work/node24/node_modules/node/bin/node; fi
  export node
  js() { cd "$work" && "$node" other.mjs "$@"; }
  export -f js
  v="@azure/identity 4.13.1"
  for flow in secret certificate workload environment default; do row "$v" "$flow" js identity "$flow"; done
  # It takes an identity with an ID for a federated one as long as there is a token file.
  for flow in identity machine; do row "$v" "$flow, App Service" env -u AZURE_FEDERATED_TOKEN_FILE bash -c 'js "$@"' _ identity "$flow"; done
  if [ "$("$node" -p 'parseInt(process.versions.node)')" -ge 24 ]; then
    for flow in secret certificate assertion; do row "@azure/msal-node 7.2.3" "$flow" js msal "$flow"; done
  else skip "@azure/msal-node 7.2.3" "its fetch reads no proxy variables before Node 24"; fi
else skip "Node" "npm could not install the clients"; fi
exit $failed
