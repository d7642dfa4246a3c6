// SPDX-License-Identifier: MIT

package entratest

import (
	"net/http"
	"slices"
	"strings"
)

const armMetadataPath = "/metadata/endpoints"

// armNames are what Azure Resource Manager calls the clouds of armHosts.
var armNames = []string{"AzureCloud", "AzureUSGovernment", "AzureChinaCloud"}

// armMetadata answers where the services of a cloud are, which clients of clouds that they
// do not know ask before they have a token, such as Terraform's provider with a
// metadata_host. It has the fields of api-version 2022-09-01 that are about what the
// emulator has tokens for; HashiCorp's go-azure-sdk was read for them.
func (c *call) armMetadata(string) answer {
	if ans, off := c.armOff(); off {
		return ans
	}
	if ans, wrong := c.armVersion(); wrong {
		return ans
	}
	i := max(slices.Index(armHosts, strings.TrimPrefix(c.base, "https://")), 0)
	uri := func(appID string, j int) string {
		api := slices.IndexFunc(microsoftAPIs, func(a microsoftAPI) bool { return a.appID == appID })
		return microsoftAPIs[api].uris[i][j]
	}
	suffix := func(appID string, j int) string {
		return strings.TrimPrefix(strings.TrimPrefix(uri(appID, j), "https://"), "*.")
	}
	return answer{status: http.StatusOK, body: map[string]any{
		"name":            armNames[i],
		"resourceManager": c.base + "/",
		"authentication": map[string]any{
			"loginEndpoint":    c.armCloud().Authority(),
			"audiences":        []string{uri(resourceManager, 1) + "/", uri(resourceManager, 0) + "/"},
			"tenant":           "common",
			"identityProvider": "AAD",
		},
		"graph":                    uri(azureADGraphID, 0) + "/",
		"graphAudience":            uri(azureADGraphID, 0) + "/",
		"microsoftGraphResourceId": uri(microsoftGraphID, 0) + "/",
		"logAnalyticsResourceId":   uri(logAnalyticsID, 0),
		"ossrDbmsResourceId":       uri(openSourceSQLID, 0),
		"suffixes": map[string]string{
			"keyVaultDns":       suffix(keyVaultID, 0),
			"mhsmDns":           suffix(managedHSMID, 0),
			"sqlServerHostname": suffix(sqlID, 0),
			"storage":           suffix(storageID, 1),
		},
	}}
}
