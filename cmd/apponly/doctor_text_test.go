// SPDX-License-Identifier: MIT

package main

import (
	"flag"
	"net"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"sync"
	"testing"
)

var updateDoctor = flag.Bool("update-doctor", false, "write testdata/*/*.txt anew, and with them the outputs in docs/doctor.md")

// texts are reports as people get them.
var texts = []struct {
	name, base string
	plant      func(*clinic)
	args       []string
	status     int
}{
	{"healthy", "federated", nil, nil, 0},
	{"healthy-certificate", "certificate", nil, nil, 0},
	{"managed-identity", "managed-identity", nil, nil, 0},
	{"wrong-secret", "secret", find(refusalSetUps, "wrong secret"), nil, 1},
	{"expired-certificate", "certificate", find(certificateSetUps, "expired"), nil, 1},
	{"inspecting-proxy", "proxy", find(networkSetUps, "inspecting proxy"), nil, 1},
	{"no-roles", "secret", find(permissionSetUps, "no roles"), nil, 0},
	{"no-tenant", "secret", missing("AZURE_TENANT_ID"), nil, 1},
	{"offline", "secret", nil, []string{"--offline"}, 0},
}

func find(setUps []setUp, name string) func(*clinic) {
	for _, s := range setUps {
		if s.name == name {
			return s.plant
		}
	}
	panic(name)
}

func TestDoctorText(t *testing.T) {
	t.Parallel()
	for _, tt := range texts {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			c := bases[tt.base](t)
			if tt.plant != nil {
				tt.plant(c)
			}
			status, stdout, stderr := c.examine(append(tt.args, "--scope", c.scope)...)
			if status != tt.status || stderr != "" {
				t.Errorf("status %d, want %d; stderr %q", status, tt.status, stderr)
			}
			compareGolden(t, filepath.Join("testdata", "doctor", tt.name+".txt"), c.settle(stdout))
		})
	}
}

func compareGolden(t *testing.T, file, got string) {
	t.Helper()
	if *updateDoctor {
		if err := os.WriteFile(file, []byte(got), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	want, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	if got != string(want) {
		t.Errorf("got:\n%s\nwant:\n%s", got, want)
	}
}

var (
	guid = regexp.MustCompile(`[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}`)
	port = regexp.MustCompile(`127\.0\.0\.1:\d+`)
	took = regexp.MustCompile(`in (less than 1 ms|\d+ ms|\d\.\d s)`)
	left = regexp.MustCompile(`good for \d+ (h \d+ )?min( \d+ s)?`)
	when = regexp.MustCompile(`\d{4}-\d\d-\d\d \d\d:\d\d UTC`)
	hash = regexp.MustCompile(`\b[0-9A-F]{40}([0-9A-F]{24})?\b`)
)

// settle puts what is the same each time in the place of what is not.
func (c *clinic) settle(text string) string {
	text = strings.NewReplacer(
		c.dir, "/run/app",
		c.sts.Tenant().ID(), "11111111-1111-4111-8111-111111111111",
		c.env["AZURE_CLIENT_ID"], "22222222-2222-4222-8222-222222222222",
		c.sts.API().AppID(), "33333333-3333-4333-8333-333333333333",
	).Replace(text)
	text = guid.ReplaceAllStringFunc(text, func(id string) string {
		if id[:8] == strings.Repeat(id[:1], 8) {
			return id
		}
		return "44444444-4444-4444-8444-444444444444"
	})
	text = port.ReplaceAllString(text, "127.0.0.1:8443")
	text = took.ReplaceAllString(text, "in 12 ms")
	text = left.ReplaceAllString(text, "good for 1 h 10 min")
	text = when.ReplaceAllString(text, "2031-05-01 12:00 UTC")
	return hash.ReplaceAllStringFunc(text, func(h string) string { return strings.Repeat("5D1CA0F3", len(h)/8) })
}

var outputBlock = regexp.MustCompile("(?s)<!-- ([a-z/-]*testdata/[a-z/-]+\\.txt) -->\n```\n(.*?)```")

// TestDoctorPage holds the documentation to the reports.
func TestDoctorPage(t *testing.T) {
	text := holdPage(t, "doctor.md", 2)
	for _, name := range checkNames {
		if !strings.Contains(text, "| `"+name+"` |") {
			t.Errorf("doctor.md does not say what %s is", name)
		}
	}
}

// holdPage compares the outputs in a page of the documentation with those of the tests,
// of which it has some at least.
func holdPage(t *testing.T, name string, least int) (text string) {
	t.Helper()
	page := filepath.Join("../../docs", name)
	b, err := os.ReadFile(page)
	if err != nil {
		t.Fatal(err)
	}
	found := 0
	text = outputBlock.ReplaceAllStringFunc(string(b), func(block string) string {
		found++
		file := outputBlock.FindStringSubmatch(block)[1]
		want, err := os.ReadFile(file)
		if err != nil {
			t.Fatal(err)
		}
		return "<!-- " + file + " -->\n```\n" + string(want) + "```"
	})
	if found < least {
		t.Errorf("%d outputs in %s, want %d", found, page, least)
	}
	if text != string(b) && *updateDoctor {
		if err := os.WriteFile(page, []byte(text), 0o644); err != nil {
			t.Fatal(err)
		}
	} else if text != string(b) {
		t.Errorf("%s does not have the outputs of the command: go test ./cmd/apponly -run Page -update-doctor", page)
	}
	return text
}

// TestDoctorOffline has nobody to talk to, and asks nobody.
func TestDoctorOffline(t *testing.T) {
	t.Parallel()
	for _, base := range []string{"certificate", "github-actions", "managed-identity"} {
		t.Run(base, func(t *testing.T) {
			t.Parallel()
			c := bases[base](t)
			before := c.sts.Counters().Requests
			status, stdout, _ := c.examine("--offline", "--scope", c.scope)
			if status != 0 || c.sts.Counters().Requests != before {
				t.Errorf("status %d, %d requests; want 0 and none\n%s", status, c.sts.Counters().Requests-before, stdout)
			}
			network := 7 // checks
			if base == "github-actions" {
				network++ // the job's token service
			}
			if got := strings.Count(stdout, "offline"); got != network {
				t.Errorf("%d checks are offline, want %d:\n%s", got, network, stdout)
			}
		})
	}
}

// TestDoctorInterrupted interrupts the command while a proxy hangs.
func TestDoctorInterrupted(t *testing.T) {
	t.Parallel()
	c := bases["proxy"](t)
	c.ready = make(chan struct{})
	var once sync.Once
	take := func(conn net.Conn) {
		once.Do(func() { close(c.ready) })
		hang(conn)
	}
	c.proxy.take.Store(&take)
	status, stdout, stderr := c.examine("--scope", c.scope)
	if status != exitFailed || stderr != "apponly: interrupted\n" || strings.Contains(stdout, " fault ") || !strings.Contains(stdout, "roots") {
		t.Errorf("status %d\nstdout %q\nstderr %q", status, stdout, stderr)
	}
}

func TestDoctorUsage(t *testing.T) {
	for _, args := range [][]string{{"doctor", "x"}, {"doctor", "--scop", "x"}, {"doctor", "--output", "xml"}} {
		if status, stdout, _ := outcome(t, args...); status != exitUsage || stdout != "" {
			t.Errorf("%q: status %d, stdout %q", args, status, stdout)
		}
	}
}
