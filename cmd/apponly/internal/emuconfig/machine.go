// SPDX-License-Identifier: MIT

package emuconfig

import (
	"maps"
	"strings"

	"github.com/apponly/apponly/entratest"
)

// machine notes the environment of a machine or job. ForeignName is taken by a file that
// the command writes itself.
func (l *loader) machine(m machine, env func() map[string]string) {
	switch name := m.Name; {
	case !name.good:
	case name.v == ForeignName:
		l.Add(name.Place, "%q is the emulator's own", name.v)
	default:
		claim(l, l.machines, &name, name.Place)
		l.applied.Envs = append(l.applied.Envs, Env{m.Name.v, env})
	}
}

// ForeignName is a name that no machine can have.
const ForeignName = "foreign"

func (l *loader) identity(i identity) {
	home := l.home(i.Home)
	made, err := l.load.AddManagedIdentity(home, entratest.ManagedIdentityOptions{
		ClientID: i.ClientID.v, ObjectID: i.ObjectID.v, ResourceID: i.ResourceID.v, SystemAssigned: i.SystemAssigned.v,
	})
	if l.ok(i, err); made == nil {
		return
	}
	// To Entra it is an app, and roles are granted to it like to one.
	a := &app{Place: i.Place, Name: i.Name, registration: registration{Home: i.Home}, made: made.App()}
	claim(l, l.apps, &a.Name, a)
	l.told("client ID of managed identity", i.Name.v, i.ClientID, made.ClientID())
	l.machine(i.machine, func() map[string]string {
		env := made.Env()
		env["AZURE_CLIENT_ID"], env["AZURE_TENANT_ID"] = made.ClientID(), home.ID()
		return env
	})
}

func (l *loader) githubJob(j job) {
	made := l.sts.NewGitHubJob(j.Subject.v)
	l.machine(j.machine, l.trusting(j.Apps, made.FederatedCredential(), made.Env))
}

func (l *loader) pipelineJob(j job) {
	if path, ok := strings.CutPrefix(j.Subject.v, "sc://"); j.Subject.good && (!ok || strings.Count(path, "/") != 2) {
		l.Add(j.Subject.Place, "want sc://organization/project/connection")
	}
	made := l.sts.NewPipelineJob(j.Subject.v)
	l.machine(j.machine, l.trusting(j.Apps, made.FederatedCredential(), func() map[string]string {
		env := made.Env()
		env["AZURESUBSCRIPTION_SERVICE_CONNECTION_ID"] = made.ServiceConnectionID()
		return env
	}))
}

func (l *loader) googleVM(v googleVM) {
	if l.vm {
		l.Add(v.Place, "want one: the emulator is one machine")
	}
	l.vm = true
	made := l.sts.NewGoogleVM()
	l.machine(v.machine, l.trusting(v.Apps, made.FederatedCredential(), made.Env))
}

// trusting makes apps accept assertions, and adds the first of them to the environment
// that they are made in.
func (l *loader) trusting(apps []scalar[string], fc entratest.FederatedCredential, env func() map[string]string) func() map[string]string {
	first := map[string]string{}
	for _, name := range apps {
		if a := find(l, l.apps, name, "app"); a != nil {
			l.ok(name, l.load.AddFederatedCredential(a.made, fc))
			if len(first) == 0 {
				first["AZURE_CLIENT_ID"], first["AZURE_TENANT_ID"] = a.made.ClientID(), l.home(a.Home).ID()
			}
		}
	}
	return func() map[string]string {
		vars := env()
		maps.Copy(vars, first)
		return vars
	}
}
