// SPDX-License-Identifier: MIT

package verify_test

import (
	"crypto/sha256"
	"encoding/base64"
	"encoding/hex"
	"encoding/json"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"github.com/apponly/apponly/verify"
)

// The vectors of Project Wycheproof. Their module is 26 MB and wants a newer Go than
// this one, so that go.mod does without it: the test goes by the module cache, into
// which "go mod download" puts it.
const (
	wycheproof       = "github.com/c2sp/wycheproof@v0.0.0-20260902155932-3fa63dd0344a"
	wycheproofSHA256 = "8e687a06fe8359f4ec51480f1a9f73c8faebd6f4c01b818b843b44eee54fd5d9"
)

type jwsVectors struct {
	TestGroups []struct {
		Public fields
		Tests  []struct {
			TcID            int
			Comment, Result string
			JWS             json.RawMessage
		}
	}
}

// TestWycheproof: of the signatures of RSA keys those are accepted that Wycheproof has
// as valid, but for the algorithms that Entra does not use.
func TestWycheproof(t *testing.T) {
	cache, err := exec.CommandContext(t.Context(), "go", "env", "GOMODCACHE").Output()
	if err != nil {
		t.Skip(err)
	}
	b, err := os.ReadFile(filepath.Join(strings.TrimSpace(string(cache)), filepath.FromSlash(wycheproof), "testvectors_v1", "json_web_signature_test.json"))
	if err != nil {
		t.Skip("go mod download " + wycheproof)
	}
	if sum := sha256.Sum256(b); hex.EncodeToString(sum[:]) != wycheproofSHA256 {
		t.Fatal("the vectors are others")
	}
	var vectors jwsVectors
	if err := json.Unmarshal(b, &vectors); err != nil {
		t.Fatal(err)
	}
	valid, invalid := 0, 0
	for _, g := range vectors.TestGroups {
		if g.Public["kty"] != "RSA" {
			continue
		}
		for _, v := range g.Tests {
			token := string(v.JWS) // an object, for the JSON serialization
			_ = json.Unmarshal(v.JWS, &token)
			err := verify.Signed(token, marshal(fields{"keys": []any{g.Public}}))
			want := v.Result == "valid" && usesEntras(token)
			if (err == nil) != want {
				t.Errorf("%d %s: %v, want it %s", v.TcID, v.Comment, err, v.Result)
			}
			if want {
				valid++
			} else {
				invalid++
			}
		}
	}
	t.Logf("%d accepted, %d refused", valid, invalid)
	if valid < 10 || invalid < 250 {
		t.Error("too few vectors")
	}
}

func usesEntras(token string) bool {
	header, _, _ := strings.Cut(token, ".")
	b, _ := base64.RawURLEncoding.DecodeString(header)
	return strings.Contains(string(b), `"RS256"`) || strings.Contains(string(b), `"PS256"`)
}
