// SPDX-License-Identifier: MIT

package emuconfig_test

import (
	"strings"
	"testing"
)

func TestMachineFaults(t *testing.T) {
	const vm = "managed_identities:\n  - name: vm\n    tenant: demo\n"
	if err := load(t, vm+"github_jobs:\n  - {name: ci, subject: 's', apps: [demo]}\n"); err != nil {
		t.Fatal(err)
	}
	for name, tt := range map[string]struct {
		text string
		want []string // beginnings of "line: key: text"
	}{
		"no names": {"managed_identities:\n  - tenant: demo\ngithub_jobs:\n  - subject: s\ngoogle_vms:\n  - apps: []\n", []string{
			"2: managed_identities[0].name: is missing", "4: github_jobs[0].name: is missing", "6: google_vms[0].name: is missing"}},
		"no file's name":     {"google_vms:\n  - name: ../vm\n", []string{"2: google_vms[0].name: want a name of letters"}},
		"the command's":      {"google_vms:\n  - name: foreign\n", []string{`2: google_vms[0].name: "foreign" is the emulator's own`}},
		"name twice":         {vm + "github_jobs:\n  - {name: vm, subject: s}\n", []string{`5: github_jobs[0].name: "vm" is taken in line 2`}},
		"name of an app":     {"apps: [{name: vm, tenant: demo}]\n" + vm, []string{`3: managed_identities[0].name: "vm" is taken in line 1`}},
		"no tenant":          {"managed_identities:\n  - name: vm\n    tenant: nobody.example\n", []string{`3: managed_identities[0].tenant: there is no tenant "nobody.example"`}},
		"client ID":          {vm + "    client_id: worker\n", []string{"4: managed_identities[0].client_id: want a GUID"}},
		"client ID taken":    {"apps: [{name: a, tenant: demo, client_id: " + workerID + "}]\n" + vm + "    client_id: " + workerID + "\n", []string{"3: managed_identities[0]: app ID"}},
		"object ID twice":    {vm + "    object_id: " + workerID + "\n  - {name: b, tenant: demo, object_id: " + workerID + "}\n", []string{"5: managed_identities[1]: the managed identity ID has the same object ID"}},
		"resource ID":        {vm + "    resource_id: vm\n", []string{"4: managed_identities[0].resource_id: "}},
		"two of the machine": {vm + "    system_assigned: true\n  - {name: b, tenant: demo, system_assigned: true}\n", []string{"5: managed_identities[1].system_assigned: cannot be true twice: the machine has such an identity, ID"}},
		"no subject":         {"github_jobs:\n  - name: ci\npipeline_jobs:\n  - name: cd\n", []string{"2: github_jobs[0].subject: is missing", "4: pipeline_jobs[0].subject: is missing"}},
		"subject":            {"pipeline_jobs:\n  - {name: cd, subject: 'sc://organization/connection'}\n", []string{"2: pipeline_jobs[0].subject: want sc://organization/project/connection"}},
		"no app":             {"github_jobs:\n  - {name: ci, subject: s, apps: [nobody]}\n", []string{`2: github_jobs[0].apps[0]: there is no app "nobody"`}},
		"two machines":       {"google_vms:\n  - name: a\n  - name: b\n", []string{"3: google_vms[1]: want one"}},
		"proxy host":         {"proxy_hosts: ['graph.microsoft.com:443']\n", []string{"1: proxy_hosts[0]: want a domain name"}},
	} {
		t.Run(name, func(t *testing.T) {
			err := load(t, tt.text)
			if err == nil {
				t.Fatal("no error")
			}
			got := told(t, err)
			if len(got) != len(tt.want) {
				t.Fatalf("got %q, want %q", got, tt.want)
			}
			for i, want := range tt.want {
				if !strings.HasPrefix(got[i], want) {
					t.Errorf("got %q, want %q", got[i], want)
				}
			}
		})
	}
}
