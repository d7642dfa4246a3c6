// SPDX-License-Identifier: MIT

package agent

import (
	"fmt"
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
	if err := chmodSocket(path, mode); err != nil {
		l.Close()
		return nil, err
	}
	return l, nil
}

// chmodSocket is chmod for a socket alone: who may write to its directory can have put
// a link to something else in its place.
func chmodSocket(path string, mode os.FileMode) error {
	fd, err := unix.Open(path, unix.O_PATH|unix.O_NOFOLLOW|unix.O_CLOEXEC, 0)
	if err != nil {
		return &os.PathError{Op: "chmod", Path: path, Err: err}
	}
	defer unix.Close(fd)
	var stat unix.Stat_t
	if err := unix.Fstat(fd, &stat); err != nil || stat.Mode&unix.S_IFMT != unix.S_IFSOCK {
		return fmt.Errorf("%s is not a socket any more", path)
	}
	return os.Chmod(fmt.Sprintf("/proc/self/fd/%d", fd), mode) // there is no fchmod for O_PATH before Linux 6.6
}
