// SPDX-License-Identifier: MIT

package main

import (
	"bytes"
	"encoding/json"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"

	"go.yaml.in/yaml/v4"

	"github.com/apponly/apponly/cmd/apponly/agent"
)

const agentExamples = "../../examples/agent/"

// A document is what matters here of the manifests.
type document struct {
	Kind string
	Data map[string]string
	Spec struct {
		Template struct {
			Metadata struct{ Annotations map[string]string }
			Spec     struct {
				InitContainers []container `yaml:"initContainers"`
				Containers     []container
				Volumes        []struct {
					Name   string
					Secret struct {
						SecretName  string `yaml:"secretName"`
						DefaultMode int    `yaml:"defaultMode"`
					}
				}
			}
		}
	}
}

type container struct {
	Name          string
	RestartPolicy string `yaml:"restartPolicy"`
	Args          []string
	Ports         []struct {
		ContainerPort int `yaml:"containerPort"`
	}
	Env          []map[string]any
	VolumeMounts []struct {
		Name      string
		MountPath string `yaml:"mountPath"`
	} `yaml:"volumeMounts"`
}

// documents reads a file of YAML.
func documents(t *testing.T, name string) []document {
	t.Helper()
	data, err := os.ReadFile(agentExamples + name)
	if err != nil {
		t.Fatal(err)
	}
	var all []document
	if err := yaml.Load(data, &all, yaml.WithAllDocuments()); err != nil {
		t.Fatal(err)
	}
	return all
}

// knows fails if the command would not take these arguments.
func knows(t *testing.T, args []string) {
	t.Helper()
	cmd, rest, err := newRoot().Find(args)
	if err != nil {
		t.Fatalf("%q: %v", args, err)
	}
	if err := cmd.ParseFlags(rest); err != nil {
		t.Errorf("%q: %v", args, err)
	}
	if cmd.CommandPath() != "apponly agent" || cmd.Flags().NArg() > 0 {
		t.Errorf("%q is %s with %q", args, cmd.CommandPath(), cmd.Flags().Args())
	}
}

// The manifest's configuration is one, its agent would start, and its application has
// what "agent env" prints.
func TestKubernetesExample(t *testing.T) {
	t.Parallel()
	all := documents(t, "kubernetes.yaml")
	path := filepath.Join(t.TempDir(), "agent.yaml")
	if err := os.WriteFile(path, []byte(all[1].Data["agent.yaml"]), 0o600); err != nil {
		t.Fatal(err)
	}
	cfg, err := agent.Load(path)
	if err != nil {
		t.Fatal(err)
	}
	pod := all[2].Spec.Template
	if len(pod.Spec.InitContainers) != 1 || len(pod.Spec.Containers) != 1 {
		t.Fatalf("got %+v", pod)
	}
	sidecar, app := pod.Spec.InitContainers[0], pod.Spec.Containers[0]
	knows(t, sidecar.Args)
	if sidecar.RestartPolicy != "Always" || !strings.HasSuffix(cfg.Health.TCP, ":8182") || sidecar.Ports[0].ContainerPort != 8182 {
		t.Errorf("the sidecar is %+v, with health at %s", sidecar, cfg.Health.TCP)
	}
	if got := pod.Metadata.Annotations["azure.workload.identity/skip-containers"]; got != app.Name {
		t.Errorf("workload identity skips %q, want the application, %q", got, app.Name)
	}
	text, err := agentEnv(agent.Addresses{Endpoint: "http://" + cfg.Listen.TCP + "/msi/token"}, "k8s")
	if err != nil {
		t.Fatal(err)
	}
	var want struct{ Env []map[string]any }
	if err := yaml.Unmarshal([]byte(text), &want); err != nil {
		t.Fatal(err)
	}
	for _, list := range [][]map[string]any{app.Env, want.Env} {
		slices.SortFunc(list, func(a, b map[string]any) int { return strings.Compare(a["name"].(string), b["name"].(string)) })
	}
	got, _ := json.Marshal(app.Env)
	printed, _ := json.Marshal(want.Env)
	if !bytes.Equal(got, printed) {
		t.Errorf("the application has\n%s\nand agent env prints\n%s", got, printed)
	}
	if i := slices.IndexFunc(sidecar.VolumeMounts, func(m struct {
		Name      string
		MountPath string `yaml:"mountPath"`
	}) bool {
		return m.MountPath == filepath.Dir(cfg.HeaderFile) && m.Name == "secret"
	}); i < 0 || filepath.Base(cfg.HeaderFile) != headerFile {
		t.Errorf("%s is not mounted", cfg.HeaderFile)
	}
	if v := pod.Spec.Volumes[1].Secret; v.SecretName != "apponly-agent" || v.DefaultMode&0o007 != 0 {
		t.Errorf("the secret is %+v", v)
	}
}

func TestSystemdExample(t *testing.T) {
	t.Parallel()
	if _, err := agent.Load(agentExamples + "host.yaml"); err != nil {
		t.Error(err)
	}
	data, err := os.ReadFile(agentExamples + "apponly-agent.service")
	if err != nil {
		t.Fatal(err)
	}
	line := regexp.MustCompile(`(?m)^ExecStart=/usr/local/bin/apponly (.*)$`).FindSubmatch(data)
	if line == nil {
		t.Fatal("there is no ExecStart")
	}
	knows(t, strings.Fields(string(line[1])))
	analyze, err := exec.LookPath("systemd-analyze")
	if err != nil {
		t.Skip("SKIPPED: systemd-analyze is not on this machine: the unit is not verified")
	}
	// It wants the program to be there.
	unit := filepath.Join(t.TempDir(), "apponly-agent.service")
	if err := os.WriteFile(unit, bytes.ReplaceAll(data, []byte("/usr/local/bin/apponly"), []byte(os.Args[0])), 0o600); err != nil {
		t.Fatal(err)
	}
	out, err := exec.CommandContext(t.Context(), analyze, "verify", unit).CombinedOutput()
	if err != nil || bytes.Contains(out, []byte(filepath.Base(unit)+":")) {
		t.Errorf("systemd-analyze: %v\n%s", err, out)
	}
}

func TestComposeExample(t *testing.T) {
	t.Parallel()
	data, err := os.ReadFile(agentExamples + "compose.yaml")
	if err != nil {
		t.Fatal(err)
	}
	var file struct {
		Services map[string]struct {
			Command     []string
			NetworkMode string `yaml:"network_mode"`
			Environment map[string]string
			User        string
		}
	}
	if err := yaml.Unmarshal(data, &file); err != nil {
		t.Fatal(err)
	}
	knows(t, file.Services["agent"].Command)
	app := file.Services["orders"]
	if app.NetworkMode != "service:agent" || app.User != file.Services["agent"].User || !strings.Contains(app.Command[2], "/run/apponly/"+headerFile) {
		t.Errorf("the application is %+v", app)
	}
	vars, err := variables(agent.Addresses{Endpoint: "http://127.0.0.1:8181/msi/token"})
	if err != nil {
		t.Fatal(err)
	}
	for _, v := range append(vars, variable{"NO_PROXY", direct}, variable{"no_proxy", direct}) {
		if app.Environment[v.name] != v.value {
			t.Errorf("%s is %q, want %q", v.name, app.Environment[v.name], v.value)
		}
	}
}

// The documentation's configuration is one, but for what it leaves open.
func TestAgentPage(t *testing.T) {
	t.Parallel()
	page, err := os.ReadFile("../../docs/agent.md")
	if err != nil {
		t.Fatal(err)
	}
	block := regexp.MustCompile("(?s)```yaml\n(.*?)```").FindSubmatch(page)
	if block == nil {
		t.Fatal("there is no configuration on the page")
	}
	path := filepath.Join(t.TempDir(), "agent.yaml")
	if err := os.WriteFile(path, bytes.ReplaceAll(block[1], []byte("…"), []byte("11111111-2222-4333-8444-555555555555")), 0o600); err != nil {
		t.Fatal(err)
	}
	if _, err := agent.Load(path); err != nil {
		t.Error(err)
	}
}

// Two commands are a local managed identity: those of README.md, in its words.
func TestTwoCommands(t *testing.T) {
	t.Parallel()
	readme, err := os.ReadFile("../../README.md")
	if err != nil {
		t.Fatal(err)
	}
	block := regexp.MustCompile("(?s)```sh\n(apponly emulator --dir.*?)```").FindSubmatch(readme)
	if block == nil {
		t.Fatal("there are no commands in README.md")
	}
	lines := strings.Split(strings.TrimSpace(string(block[1])), "\n")
	for i := range lines {
		lines[i], _, _ = strings.Cut(lines[i], " #")
	}
	p := newPrompt(t)
	p.serve(t, lines[0], "entra/emulator.json")
	// Another port than the one that everybody has, in case somebody has it.
	p.serve(t, strings.Replace(lines[1], " agent ", " agent --addr 127.0.0.1:0 ", 1), "agent/agent.json")
	examples := absolute(t, agentExamples)
	scope := `export APPONLY_SCOPE="$(. ./entra/env; echo "$APPONLY_SCOPE")"` + "\n" + lines[2] + "\n"
	clients := map[string]string{"curl": quote(filepath.Join(examples, "client.sh"))}
	for _, p := range programs(t) {
		switch p.name {
		case "Python":
			clients[p.name] = p.command[0] + " " + quote(filepath.Join(examples, "client.py"))
		case "Node": // its packages are found from where the program is
			data, err := os.ReadFile(filepath.Join(examples, "client.mjs"))
			if err != nil {
				t.Fatal(err)
			}
			copied := filepath.Join(filepath.Dir(p.command[1]), "client.mjs")
			if err := os.WriteFile(copied, data, 0o600); err != nil {
				t.Fatal(err)
			}
			clients[p.name] = p.command[0] + " " + quote(copied)
		}
	}
	if _, err := exec.LookPath("curl"); err != nil {
		t.Log("SKIPPED: curl is not on this machine: client.sh is not tested")
		delete(clients, "curl")
	}
	for name, client := range clients {
		cmd := p.shell(t, scope+client)
		cmd.Env = append(cmd.Env, "HTTP_PROXY=http://127.0.0.1:1")
		out, err := cmd.CombinedOutput()
		if err != nil || !strings.HasPrefix(string(out), "a token ") || strings.Contains(string(out), "eyJ") {
			t.Errorf("%s: %v\n%s", name, err, out)
		}
	}
}
