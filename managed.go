// SPDX-License-Identifier: MIT

package apponly

import (
	"net/http"
	"os"
	"sync"

	"github.com/Azure/azure-sdk-for-go/sdk/azcore"
	"github.com/Azure/azure-sdk-for-go/sdk/azidentity"
)

// identities keeps one credential per managed identity, because clients built
// from the same one share their tokens.
var identities struct {
	sync.Mutex
	m map[string]azcore.TokenCredential
}

func managedIdentity(clientID string) (azcore.TokenCredential, error) {
	identities.Lock()
	defer identities.Unlock()
	if cred, ok := identities.m[clientID]; ok {
		return cred, nil
	}
	var o azidentity.ManagedIdentityCredentialOptions
	if clientID != "" {
		o.ID = azidentity.ClientID(clientID)
	}
	if os.Getenv("IDENTITY_SERVER_THUMBPRINT") == "" { // Service Fabric brings its own
		direct := newTokenTransport(nil)
		direct.Proxy = nil // the endpoint is on this machine; a proxy's answer would be for the proxy
		o.Transport = &http.Client{Transport: direct}
	}
	cred, err := azidentity.NewManagedIdentityCredential(&o)
	if err != nil {
		return nil, faultf(ErrCredentialUnavailable, "apponly: managed identity cannot be used with this configuration")
	}
	if identities.m == nil {
		identities.m = map[string]azcore.TokenCredential{}
	}
	identities.m[clientID] = cred
	return cred, nil
}
