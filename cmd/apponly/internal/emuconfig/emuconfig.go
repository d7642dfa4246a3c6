// SPDX-License-Identifier: MIT

// Package emuconfig reads the file of "apponly emulator --config", which adds
// tenants, apps and more to the emulator's demo.
package emuconfig

import (
	"fmt"
	"path/filepath"
	"reflect"
	"strings"
	"time"

	"github.com/apponly/apponly/cmd/apponly/internal/yamlfile"
	"github.com/apponly/apponly/entratest"
	"github.com/apponly/apponly/internal/ident"
)

// An Error is everything that is wrong with a file.
type Error = yamlfile.Error

// A Place is where a value stands in a file.
type Place = yamlfile.Place

// demoName refers to the emulator's own tenant, app, API or issuer.
const demoName = "demo"

// A RandomID is one that the file left to chance.
type RandomID struct {
	What string // "ID of tenant"
	Name string // what the file calls its owner
	ID   string
}

// Applied is what a file leaves to the program.
type Applied struct {
	Random     []RandomID
	Envs       []Env    // of machines and jobs, in no order of importance
	ProxyHosts []string // further names that the emulator's proxy stands in for
}

// An Env is the environment of programs on a machine or in a job.
type Env struct {
	Name string                   // what the file calls the machine or job; fit for a file's name
	Vars func() map[string]string // to be called once the emulator listens
}

// Apply adds what a file says to an emulator that has only its demo. If anything
// is wrong with the file, the error is an [*Error] with all of it. The emulator
// is of no use then: it has what was right in the file, and the demo in place of
// what was not.
func Apply(sts *entratest.Server, path string) (Applied, error) {
	data, err := yamlfile.Read(path)
	if err != nil {
		return Applied{}, fmt.Errorf("--config: %w", err)
	}
	l := &loader{
		Error: &Error{File: path}, sts: sts, load: sts.Loader(), dir: filepath.Dir(path),
		tenants:   map[string]*tenant{demoName: {made: sts.Tenant()}},
		apps:      map[string]*app{demoName: {made: sts.App()}},
		resources: map[string]*resource{demoName: {made: sts.API()}},
		issuers:   make(map[string]Place),
		machines:  make(map[string]Place),
	}
	var f file
	l.Parse(data, &f)
	l.file(f)
	return l.applied, l.OrNil()
}

// A loader adds one file to one emulator. After a fault it goes on, to report all
// of them at once. What was refused is left out, and the demo stands in for what
// could not be made: nobody will use this emulator.
type loader struct {
	*Error
	sts  *entratest.Server
	load entratest.Loader
	dir  string    // of the file: paths in it are relative to it
	now  time.Time // by the emulator's clock

	applied Applied

	tenants   map[string]*tenant   // by ID and domain
	apps      map[string]*app      // by name and client ID
	resources map[string]*resource // by URI, without a slash at its end
	issuers   map[string]Place     // by URL
	machines  map[string]Place     // by name, jobs among them
	vm        bool                 // there is a Google VM
}

// file adds all of a file. What refers to something is added after it, whatever
// their order in the file.
func (l *loader) file(f file) {
	l.now = time.Now().Add(f.ClockOffset.v)
	l.sts.SetClockOffset(f.ClockOffset.v)
	l.sts.SetTokenLifetime(f.TokenLifetime.v)
	l.sts.SetRefreshIn(f.RefreshIn.v)
	l.sts.SetPropagation(f.Propagation.v) // before what it delays
	if f.ARM.good {
		l.sts.SetResourceManager(f.ARM.v)
	}
	each(f.Tenants, l.tenant)
	each(f.Apps, l.app)
	each(f.Resources, l.resource)
	for _, a := range f.Apps {
		each(a.Requires, func(q requirement) { l.require(a, q) })
	}
	each(f.Issuers, l.issuer)
	each(f.ManagedIdentities, l.identity)
	each(f.GitHubJobs, l.githubJob)
	each(f.PipelineJobs, l.pipelineJob)
	each(f.GoogleVMs, l.googleVM)
	l.applied.ProxyHosts = values(f.ProxyHosts)
	each(f.Installs, l.install)
	each(f.Grants, l.grant)
	each(f.Faults, l.fault)
	if t := f.Throttle; t != nil && t.Requests.good && t.Per.good {
		l.ok(t, l.load.SetThrottle(entratest.Throttle{Requests: t.Requests.v, Per: t.Per.v, RetryAfter: t.RetryAfter.v}))
	}
}

func each[T any](list []T, do func(T)) {
	for _, v := range list {
		do(v)
	}
}

// ok adds the fault that err is, if any, of what the emulator was given. Texts of
// the emulator that begin with a key are about that one.
func (l *loader) ok(given any, err error) {
	if err == nil {
		return
	}
	v := reflect.Indirect(reflect.ValueOf(given))
	place, text := v.FieldByName("Place").Interface().(Place), err.Error()
	for _, prefix := range []string{"entratest: ", "fault: ", "throttle: ", "federated credential: "} {
		text = strings.TrimPrefix(text, prefix)
	}
	word, rest, _ := strings.Cut(text, " ")
	for _, f := range reflect.VisibleFields(v.Type()) {
		if key, _, _ := strings.Cut(f.Tag.Get("file"), ","); key == word {
			if p := v.FieldByIndex(f.Index).FieldByName("Place").Interface().(Place); p.Line > 0 {
				place, text = p, rest
			}
		}
	}
	l.Add(place, "%s", text)
}

// told notes an ID that the file left to chance.
func (l *loader) told(what, name string, chosen scalar[string], id string) {
	if !chosen.given() {
		l.applied.Random = append(l.applied.Random, RandomID{what, name, id})
	}
}

// claim registers a name for its owner. A name that is not free is a fault, and
// counts as one that could not be read from then on.
func claim[T interface{ At() int }](l *loader, known map[string]T, name *scalar[string], owner T) {
	if !name.good {
		return
	}
	other, taken := known[name.v]
	switch {
	case name.v == demoName:
		l.Add(name.Place, "%q is the emulator's own", demoName)
	case taken:
		l.Add(name.Place, "%q is taken in line %d", yamlfile.Clean(name.v), other.At())
	default:
		known[name.v] = owner
		return
	}
	*name = scalar[string]{Place: name.Place}
}

// find looks up a reference, nil if there is nothing. One that was not given or
// could not be read finds nothing without another fault.
func find[T any](l *loader, known map[string]*T, ref scalar[string], what string) *T {
	if !ref.good {
		return nil
	}
	got := known[ref.v]
	if got == nil && (ident.IsGUID(ref.v) || ident.IsDomain(ref.v)) { // which have no letter case
		got = known[strings.ToLower(ref.v)]
	}
	if got == nil {
		l.Add(ref.Place, "there is no %s %q in this file", what, yamlfile.Clean(ref.v))
	}
	return got
}

// once refuses values that are in a list already.
func (l *loader) once(list []scalar[string]) {
	seen := map[string]bool{}
	for _, v := range list {
		if v.good && seen[v.v] {
			l.Add(v.Place, "%q is there twice", yamlfile.Clean(v.v))
		}
		seen[v.v] = true
	}
}

// readFile reads a file that the configuration names, nil if it cannot.
func (l *loader) readFile(name scalar[string]) []byte {
	if !name.good {
		return nil
	}
	path := name.v
	if !filepath.IsAbs(path) {
		path = filepath.Join(l.dir, path)
	}
	data, err := yamlfile.Read(path)
	l.ok(name, err)
	return data
}
