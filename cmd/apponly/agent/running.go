// SPDX-License-Identifier: MIT

package agent

import (
	"context"
	"os"
	"path/filepath"
	"strings"
	"sync"
)

// A running agent has doors and tasks; Agent.mu guards them.
type running struct {
	agent     *Agent
	ctx       context.Context
	doors     map[string]*door // by the id of their plans
	stopTasks func()           // and waits for them
	closing   sync.WaitGroup   // doors that are gone
	failed    chan error
}

// change brings doors and tasks in line with a state. Doors that cannot be opened leave
// everything as it was.
func (r *running) change(s *state) error {
	plans := r.agent.doorPlans(s.cfg)
	opened := map[string]*door{}
	for _, p := range plans {
		if r.doors[p.id()] != nil {
			continue
		}
		d, err := openDoor(p, s.log)
		if err != nil {
			for _, d := range opened {
				d.listener.Close()
			}
			return err
		}
		opened[p.id()] = d
	}
	old := r.agent.state.Swap(s)
	r.keep(plans)
	for id, d := range opened {
		r.doors[id] = d
		go d.serve(r.failed)
	}
	if r.stopTasks != nil {
		r.stopTasks()
	}
	removeDropped(old.cfg, s)
	r.startTasks(s)
	return nil
}

// keep closes the doors that have no plan, and gives the others the modes of theirs.
func (r *running) keep(plans []doorPlan) {
	wanted := map[string]doorPlan{}
	for _, p := range plans {
		wanted[p.id()] = p
	}
	for id, d := range r.doors {
		if p, ok := wanted[id]; !ok {
			delete(r.doors, id)
			r.closing.Go(d.close)
		} else if p.network == "unix" {
			chmodSocket(p.addr, os.FileMode(p.mode)) // if the socket was removed, nobody reaches it
		}
	}
}

// startTasks keeps tokens and files fresh.
func (r *running) startTasks(s *state) {
	ctx, cancel := context.WithCancel(r.ctx)
	var tasks sync.WaitGroup
	for name, client := range s.clients {
		if scopes := s.cfg.needs(name); len(scopes) > 0 {
			tasks.Go(func() { client.KeepWarm(ctx, scopes...) })
		}
	}
	for _, f := range s.cfg.Files {
		k := newSink(f, s.clients[appOr(f.App)], s.log)
		tasks.Go(func() { k.run(ctx) })
	}
	r.stopTasks = func() {
		cancel()
		tasks.Wait()
	}
}

// removeDropped removes the files that nobody keeps fresh any more.
func removeDropped(old *Config, s *state) {
	kept := map[string]bool{}
	for _, f := range s.cfg.Files {
		kept[filepath.Clean(f.Path)] = true
	}
	for _, f := range old.Files {
		if !kept[filepath.Clean(f.Path)] && os.Remove(f.Path) == nil {
			s.log.Info("token file removed: the configuration has it no longer", "file", f.Path)
		}
	}
}

// stop closes everything, and waits.
func (r *running) stop() {
	for _, d := range r.doors {
		r.closing.Go(d.close)
	}
	r.closing.Wait()
	r.stopTasks()
}

// addresses says where the doors are.
func (r *running) addresses() Addresses {
	c := r.agent.state.Load().cfg
	url := func(key, addr, path string) string {
		d := r.doors[doorPlan{key: key, network: "tcp", addr: addr}.id()]
		if d == nil {
			return ""
		}
		bound := d.listener.Addr().String()
		if strings.HasPrefix(addr, "localhost:") {
			bound = "localhost" + bound[strings.LastIndexByte(bound, ':'):]
		}
		return "http://" + bound + path
	}
	return Addresses{
		Endpoint:   url("listen.tcp", c.Listen.TCP, "/msi/token"),
		HeaderFile: c.HeaderFile,
		Socket:     c.Listen.Socket,
		Health:     url("health.tcp", c.Health.TCP, ""),
		IMDS:       url("listen.imds", c.Listen.IMDS, ""),
	}
}
