// SPDX-License-Identifier: MIT

package agent_test

import (
	"fmt"
	"strings"
	"testing"
)

// Neither a token nor a secret is in the log, in a refusal, or in anything that fmt
// prints of an agent.
func TestCanary(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	var out strings.Builder
	var token string
	for _, r := range []change{func() change { return set("A", "b") }(), drop("X-Identity-Header"), set("Via", "x"), set("X-IDENTITY-HEADER", w.secret+"y"), set("Authorization", "Basic "+w.secret)} {
		a := w.ask(w.request(r))
		if a.status == 200 {
			token = a.text("access_token")
			continue
		}
		fmt.Fprintln(&out, a.header, a.body)
	}
	hash := `{"scope":"` + w.API().Scope() + `","rejected_sha256":"` + w.secret + `"}`
	for _, body := range []string{hash, `{"scope":"` + w.secret + `"}`, `{"claims":"` + token + `","scope":"` + w.API().Scope() + `"}`, `{"` + w.secret + `":1}`} {
		fmt.Fprintln(&out, w.post(body).body)
	}
	fmt.Fprintln(&out, w.post("grant_type="+w.secret+"&client_secret="+w.secret+"&scope=x", set("Content-Type", "application/x-www-form-urlencoded")).body)
	fmt.Fprintf(&out, "%v %+v %#v\n", w.agent, w.agent, w.agent)
	fmt.Fprintln(&out, w.log.String())
	if token == "" || !strings.Contains(w.log.String(), "token call") {
		t.Fatal("there was no token, or no log")
	}
	for name, secret := range map[string]string{"token": token, "header secret": w.secret, "client secret": w.Server.Secret(), "a token's start": "eyJ"} {
		if strings.Contains(out.String(), secret) {
			t.Errorf("the %s is in what was printed:\n%s", name, out.String())
		}
	}
	for _, want := range []string{`"caller":"header default"`, `"route":"/msi/token"`, `"outcome":"served"`, `"duration":`, `"scope":"` + w.API().Scope() + `"`, `"outcome":"invalid_client"`, `"caller":"nobody"`} {
		if !strings.Contains(w.log.String(), want) {
			t.Errorf("the access log has no %s", want)
		}
	}
}
