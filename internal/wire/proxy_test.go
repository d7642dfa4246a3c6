// SPDX-License-Identifier: MIT

package wire_test

import (
	"errors"
	"net/http"
	"os"
	"os/exec"
	"strings"
	"testing"

	"github.com/apponly/apponly/internal/netfault"
	"github.com/apponly/apponly/internal/wire"
)

// net/http reads the environment once in a process, so that each is one of its own.
func TestProxyFromEnvironment(t *testing.T) {
	if url := os.Getenv("TEST_ASKS_FOR"); url != "" {
		req, err := http.NewRequest(http.MethodPost, url, nil)
		if err != nil {
			t.Fatal(err)
		}
		proxy, err := wire.ProxyFromEnvironment(req)
		t.Logf("proxy %v, error %v", proxy, err)
		if err != nil {
			reason, cause := netfault.Describe(&netfault.RouteError{Host: "login.test", Err: err})
			t.Logf("reason %s, permanent %t, known %t", reason, netfault.Permanent(err), errors.Is(cause, err))
		}
		return
	}
	const refused = "proxy <nil>, error the address of the proxy in %s cannot be read"
	for name, tt := range map[string]struct {
		env  []string
		url  string
		want string
	}{
		"none":                     {nil, "https://login.test", "proxy <nil>, error <nil>"},
		"a proxy":                  {[]string{"HTTPS_PROXY=http://proxy:3128"}, "https://login.test", "proxy http://proxy:3128, error <nil>"},
		"a name alone":             {[]string{"HTTPS_PROXY=proxy:3128"}, "https://login.test", "proxy http://proxy:3128, error <nil>"},
		"a password":               {[]string{"https_proxy=http://u:p%2Fw@proxy:3128/"}, "https://login.test", "proxy http://u:p%2Fw@proxy:3128/, error <nil>"},
		"a slash in the password":  {[]string{"HTTPS_PROXY=http://user:8080/s3cret@proxy:3128"}, "https://login.test", strings.ReplaceAll(refused, "%s", "HTTPS_PROXY")},
		"and letters before it":    {[]string{"https_proxy=http://user:s3/cret@proxy:3128"}, "https://login.test", strings.ReplaceAll(refused, "%s", "https_proxy")},
		"a hash in the password":   {[]string{"HTTPS_PROXY=http://user:80#s3cret@proxy:3128"}, "https://login.test", strings.ReplaceAll(refused, "%s", "HTTPS_PROXY")},
		"a question in it":         {[]string{"HTTPS_PROXY=http://user:80?s3cret@proxy:3128"}, "https://login.test", strings.ReplaceAll(refused, "%s", "HTTPS_PROXY")},
		"not for this host":        {[]string{"HTTPS_PROXY=http://user:8080/s3cret@proxy:3128", "NO_PROXY=login.test"}, "https://login.test", "proxy <nil>, error <nil>"},
		"that of the other scheme": {[]string{"HTTPS_PROXY=http://u:p@proxy:3128", "HTTP_PROXY=http://plain:80"}, "http://login.test", "proxy http://plain:80, error <nil>"},
	} {
		cmd := exec.CommandContext(t.Context(), os.Args[0], "-test.run=^TestProxyFromEnvironment$", "-test.v")
		cmd.Env = append([]string{"TEST_ASKS_FOR=" + tt.url}, tt.env...)
		out, err := cmd.CombinedOutput()
		if text := string(out); err != nil || !strings.Contains(text, tt.want) || strings.Contains(text, "s3") ||
			strings.Contains(tt.want, "cannot") && !strings.Contains(text, "permanent true, known true") {
			t.Errorf("%s: %v, want %q in\n%s", name, err, tt.want, text)
		}
	}
}
