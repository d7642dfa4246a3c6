// SPDX-License-Identifier: MIT

package main

import (
	"os"
	"os/exec"
	"strconv"
	"syscall"
	"testing"
)

// A process that is not dumpable belongs to root in /proc, and so does its memory: no
// other process of its user can read it.
func TestAgentHidesItsMemory(t *testing.T) {
	t.Parallel()
	if os.Getuid() != 0 {
		t.Skip("SKIPPED: wants root, to be another user")
	}
	const nobody = 65534
	dir, err := os.MkdirTemp("/tmp", "apponly-agent-")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { os.RemoveAll(dir) })
	if err := os.Chown(dir, nobody, nobody); err != nil {
		t.Fatal(err)
	}
	binary := dir + "/apponly"
	if out, err := exec.CommandContext(t.Context(), "cp", os.Args[0], binary).CombinedOutput(); err != nil {
		t.Fatalf("%v: %s", err, out)
	}
	cmd := exec.CommandContext(t.Context(), binary, "agent", "--addr", "127.0.0.1:0", "--scope", "api://x/.default", "--dir", dir+"/agent")
	cmd.Dir = dir
	cmd.Env = append(clean(), asCommand+"=1", "GORACE=atexit_sleep_ms=10", "AZURE_TENANT_ID=contoso.example", "AZURE_CLIENT_ID=11111111-2222-4333-8444-555555555555",
		"AZURE_CLIENT_SECRET=x", "AZURE_AUTHORITY_HOST=https://127.0.0.1:1", "APPONLY_TRUST_AUTHORITY_HOST=1")
	cmd.SysProcAttr = &syscall.SysProcAttr{Credential: &syscall.Credential{Uid: nobody, Gid: nobody}}
	stderr := &lockedBuffer{}
	cmd.Stderr = stderr
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		cmd.Process.Kill()
		cmd.Wait()
	})
	waitUntil(t, func() bool { _, err := os.Stat(dir + "/agent/" + agentFile); return err == nil })
	info, err := os.Stat("/proc/" + strconv.Itoa(cmd.Process.Pid) + "/mem")
	if err != nil {
		t.Fatalf("%v; stderr:\n%s", err, stderr)
	}
	if got := info.Sys().(*syscall.Stat_t).Uid; got != 0 {
		t.Errorf("the memory belongs to user %d, want 0", got)
	}
}
