// SPDX-License-Identifier: MIT

package agent

import (
	"net"
	"os"
	"sync"

	"golang.org/x/sys/unix"
)

// peerCredentials says whether this system tells who is at the other end of a socket.
const peerCredentials = true

// peerUID returns the user that the other end ran as when it connected (SO_PEERCRED).
// One that this user namespace does not know is 65534.
func peerUID(conn *net.UnixConn) (uint32, error) {
	raw, err := conn.SyscallConn()
	if err != nil {
		return 0, err
	}
	var cred *unix.Ucred
	var credErr error
	err = raw.Control(func(fd uintptr) { cred, credErr = unix.GetsockoptUcred(int(fd), unix.SOL_SOCKET, unix.SO_PEERCRED) })
	if err == nil {
		err = credErr
	}
	if err != nil {
		return 0, err
	}
	return cred.Uid, nil
}

var umaskMu sync.Mutex

// listenSocket makes a socket that nobody can reach before its mode is right: it is made
// with the umask of 0177, which is the process's, and widened then.
func listenSocket(path string, mode os.FileMode) (net.Listener, error) {
	if err := removeStale(path); err != nil {
		return nil, err
	}
	umaskMu.Lock()
	old := unix.Umask(0o177)
	l, err := net.Listen("unix", path)
	unix.Umask(old)
	umaskMu.Unlock()
	if err != nil {
		return nil, err
	}
	if err := os.Chmod(path, mode); err != nil {
		l.Close()
		return nil, err
	}
	return l, nil
}
