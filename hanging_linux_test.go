// SPDX-License-Identifier: MIT

package apponly_test

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"runtime"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"
	"time"
	"unsafe"

	"github.com/apponly/apponly"
)

// hangOpening makes every open of path hang: it takes a write lease on the file
// (fcntl(2)), which the kernel waits for the end of before it lets anybody in, as
// an NFS client waits for its server. release lets them in.
func hangOpening(t *testing.T, path string) (release func()) {
	t.Helper()
	f, err := os.OpenFile(path, os.O_RDWR, 0)
	if err != nil {
		t.Fatal(err)
	}
	lease := func(kind int) error {
		if _, _, errno := syscall.Syscall(syscall.SYS_FCNTL, f.Fd(), 1024 /* F_SETLEASE */, uintptr(kind)); errno != 0 {
			return errno
		}
		return nil
	}
	if err := lease(syscall.F_WRLCK); err != nil {
		t.Skipf("this file system gives no leases: %v", err)
	}
	release = sync.OnceFunc(func() {
		_ = lease(syscall.F_UNLCK)
		f.Close()
	})
	t.Cleanup(release)
	return release
}

// hangingMount returns a directory in which every look at a file hangs, the one at
// its state too: a file system whose server, this test, says nothing. It returns ""
// where this process may not mount one.
func hangingMount(t *testing.T) string {
	t.Helper()
	fuse, err := os.OpenFile("/dev/fuse", os.O_RDWR, 0)
	if err != nil {
		t.Logf("no FUSE here: %v", err)
		return ""
	}
	dir := t.TempDir()
	data := fmt.Sprintf("fd=%d,rootmode=40000,user_id=0,group_id=0\x00", fuse.Fd())
	args := [3]*byte{}
	for i, s := range []string{"hanging", dir, "fuse"} {
		if args[i], err = syscall.BytePtrFromString(s); err != nil {
			t.Fatal(err)
		}
	}
	_, _, errno := syscall.Syscall6(syscall.SYS_MOUNT, uintptr(unsafe.Pointer(args[0])), uintptr(unsafe.Pointer(args[1])),
		uintptr(unsafe.Pointer(args[2])), 0, uintptr(unsafe.Pointer(unsafe.StringData(data))), 0)
	runtime.KeepAlive(fuse)
	if errno != 0 {
		fuse.Close()
		t.Logf("no FUSE mount here: %v", errno)
		return ""
	}
	t.Cleanup(func() {
		_ = syscall.Unmount(dir, syscall.MNT_DETACH)
		fuse.Close() // whoever hangs gets an error
	})
	return dir
}

// hanging are credentials whose files hang, in one way or the other.
func hanging(t *testing.T, s *sts) map[string]apponly.Credential {
	dir := t.TempDir()
	file := func(name string, content []byte) string {
		path := writeFile(t, filepath.Join(dir, name), content)
		hangOpening(t, path)
		return path
	}
	crt := writeFile(t, filepath.Join(dir, "crt"), s.Certificate().CertPEM())
	creds := map[string]apponly.Credential{
		"secret":      apponly.SecretFile(file("secret", []byte(s.Secret()))),
		"certificate": apponly.CertificateFile(file("pem", s.Certificate().PEM()), nil),
		"key":         apponly.CertificateFile(crt, &apponly.CertificateFileOptions{KeyFile: file("key", s.Certificate().KeyPEM())}),
		"password":    apponly.CertificateFile(crt, &apponly.CertificateFileOptions{PasswordFile: file("password", []byte("x"))}),
		"assertion":   apponly.Federated(apponly.AssertionFile(file("assertion", []byte(s.FederatedToken())))),
	}
	return creds
}

// A file that hangs costs no call while another credential works, and the callers
// that wait for it are not many goroutines.
func TestFirstOfAHangingFile(t *testing.T) {
	s := newSTS(t)
	creds := hanging(t, s)
	if dir := hangingMount(t); dir != "" {
		creds["a file system"] = apponly.SecretFile(filepath.Join(dir, "secret"))
	}
	const tenants, calls = 30, 150
	before := runtime.NumGoroutine()
	began := time.Now()
	var wg sync.WaitGroup
	for name, cred := range creds {
		c, ids := s.manyTenants(t, apponly.FirstOf(cred, apponly.Secret(s.Secret())), tenants)
		var failed atomic.Int64
		for i := range calls {
			wg.Go(func() {
				v, err := c.Tenant(ids[i%tenants])
				if err == nil {
					_, err = v.Token(t.Context(), s.API().Scope())
				}
				if err == nil {
					return
				}
				if n := failed.Add(1); n == 1 || n == calls {
					t.Errorf("%s: %d of %d calls failed: %v", name, n, calls, err)
				}
			})
		}
	}
	wg.Wait()
	if took := time.Since(began); took > 20*time.Second {
		t.Errorf("took %v", took)
	}
	// Beside those that hang some are about to end. Without a bound it is one a tenant.
	if n := runtime.NumGoroutine() - before; n > 12*len(creds) {
		t.Errorf("%d goroutines are left for %d files that hang", n, len(creds))
	}
}

// Material that has worked goes on working while its file hangs.
func TestHangingFileKeepsTheOldMaterial(t *testing.T) {
	t.Parallel()
	s := newSTS(t)
	path := writeFile(t, filepath.Join(t.TempDir(), "secret"), []byte(s.Secret()))
	var told error
	opts := s.options()
	opts.OnEvent = func(_ context.Context, ev apponly.Event) {
		if ev.Kind == apponly.EventCredentialUnreadable {
			told = ev.Err
		}
	}
	c, err := apponly.New(s.Tenant().ID(), s.App().ClientID(), apponly.SecretFile(path), opts)
	if err != nil {
		t.Fatal(err)
	}
	mustToken(t, c, s.API().Scope())
	release := hangOpening(t, path)
	began := time.Now()
	force(t, c, s.API().Scope())
	if took := time.Since(began); took > 20*time.Second {
		t.Errorf("took %v", took)
	}
	wantKind(t, told, apponly.ErrCredentialUnavailable, path, "did not return in time")
	release()
}

// Alone, a file that hangs is the credential's fault and not the network's; it
// costs one goroutine, and what was remembered is forgotten when it hangs no more.
func TestHangingFileAlone(t *testing.T) {
	if !*whole {
		t.Skip("takes half a minute: -whole")
	}
	t.Parallel()
	s := newSTS(t)
	path := writeFile(t, filepath.Join(t.TempDir(), "secret"), []byte(s.Secret()))
	release := hangOpening(t, path)
	c := s.with(t, apponly.SecretFile(path))
	ctx, cancel := context.WithTimeout(t.Context(), time.Second)
	defer cancel()
	if _, err := c.Token(ctx, s.API().Scope()); !errors.Is(err, context.DeadlineExceeded) {
		t.Errorf("a caller with a deadline: %v", err)
	}
	_, err := c.Token(t.Context(), s.API().Scope())
	wantKind(t, err, apponly.ErrCredentialUnavailable, path)
	if errors.Is(err, apponly.ErrUnreachable) || s.requests() != 0 {
		t.Errorf("%d requests, error = %v", s.requests(), err)
	}
	release()
	for range 100 {
		if _, err = c.Token(t.Context(), s.API().Scope()); err == nil {
			return
		}
		time.Sleep(100 * time.Millisecond)
	}
	t.Errorf("ten seconds after the file was there again: %v", err)
}

// A look at the state of a file that hangs holds nobody up, with or without a
// deadline, and neither does the file.
func TestHangingStat(t *testing.T) {
	if !*whole {
		t.Skip("takes half a minute: -whole")
	}
	dir := hangingMount(t)
	if dir == "" {
		t.Skip("needs a mount of FUSE")
	}
	s := newSTS(t)
	for name, cred := range map[string]apponly.Credential{
		"secret":    apponly.SecretFile(filepath.Join(dir, "secret")),
		"assertion": apponly.Federated(apponly.AssertionFile(filepath.Join(dir, "token"))),
		"pair":      apponly.CertificateFile(filepath.Join(dir, "tls.crt"), &apponly.CertificateFileOptions{KeyFile: filepath.Join(dir, "tls.key")}),
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			c := s.with(t, cred)
			began := time.Now()
			for range 3 {
				_, err := c.Token(context.Background(), s.API().Scope())
				wantKind(t, err, apponly.ErrCredentialUnavailable, dir)
			}
			if took := time.Since(began); took > 50*time.Second {
				t.Errorf("three calls took %v", took)
			}
		})
	}
}

// A file of roots that hangs is named, and those that were read before go on being
// trusted.
func TestHangingCAFile(t *testing.T) {
	t.Parallel()
	s := newSTS(t)
	s.StartTLS()
	path := writeFile(t, filepath.Join(t.TempDir(), "ca.pem"), s.CAPEM())
	open := func() *apponly.Client {
		c, err := apponly.New(s.Tenant().ID(), s.App().ClientID(), apponly.Secret(s.Secret()), &apponly.Options{Cloud: s.Cloud(), CAFile: path, Cache: apponly.NewCache(nil)})
		if err != nil {
			t.Fatal(err)
		}
		return c
	}
	c := open()
	mustToken(t, c, s.API().Scope())
	release := hangOpening(t, path)
	began := time.Now()
	force(t, c, s.API().Scope())
	if took := time.Since(began); took > 5*time.Second {
		t.Errorf("took %v behind roots that are known", took)
	}
	// Another path is another HTTP client, which knows no roots.
	link := filepath.Join(t.TempDir(), "link.pem")
	if err := os.Symlink(path, link); err != nil {
		t.Fatal(err)
	}
	path = link
	began = time.Now()
	_, err := open().Token(t.Context(), s.API().Scope())
	wantKind(t, err, apponly.ErrCAFile, link, "did not return in time")
	if took := time.Since(began); took > 5*time.Second {
		t.Errorf("took %v to say that the file hangs", took)
	}
	release()
}
