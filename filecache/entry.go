// SPDX-License-Identifier: MIT

package filecache

import (
	"crypto/rand"
	"encoding/binary"
	"encoding/hex"
	"errors"
	"io"
	"os"
	"time"
)

// An entry is what a file holds: a header and the value.
//
//	magic (8), begun in Unix milliseconds (8), milliseconds to last (8), ID (8), value
//
// What is no entry, of a crash of the machine say, counts as one that has ended and
// whose ID is zero.
type entry struct {
	begun time.Time
	ttl   time.Duration
	id    [8]byte
	value []byte
}

const (
	magic     = "apponly1"
	headerLen = 32
	// maxTTL is for what no clock can be trusted with. Tokens last for a day.
	maxTTL = 7 * 24 * time.Hour
	// maxAhead is how far behind the writer's clock the reader's may be: it is the
	// same one, and was set back if it is more.
	maxAhead = 5 * time.Second
)

func newEntry(value []byte, ttl time.Duration) entry {
	e := entry{begun: time.Now(), ttl: min(max(ttl, time.Millisecond), maxTTL), value: value}
	_, _ = rand.Read(e.id[:]) // never fails
	return e
}

// left returns for how much longer the entry lasts, nothing or less if it has ended.
// One from the future has: nobody knows how long ago it was written.
func (e entry) left(now time.Time) time.Duration {
	if e.ttl > maxTTL || e.begun.After(now.Add(maxAhead)) {
		return 0
	}
	return min(e.begun.Add(e.ttl).Sub(now), e.ttl)
}

// successor returns the name of the file that follows this one, of the same key.
func (e entry) successor(key string) string { return key + "." + hex.EncodeToString(e.id[:]) }

func (e entry) bytes() []byte {
	b := make([]byte, 0, headerLen+len(e.value))
	b = append(b, magic...)
	b = binary.BigEndian.AppendUint64(b, uint64(e.begun.UnixMilli()))
	b = binary.BigEndian.AppendUint64(b, uint64(e.ttl.Milliseconds()))
	b = append(b, e.id[:]...)
	return append(b, e.value...)
}

func parseEntry(b []byte) entry {
	if len(b) < headerLen || len(b) > headerLen+maxValue || string(b[:8]) != magic {
		return entry{}
	}
	ttl := binary.BigEndian.Uint64(b[16:])
	if ttl > uint64(maxTTL.Milliseconds()) {
		return entry{}
	}
	return entry{
		begun: time.UnixMilli(int64(binary.BigEndian.Uint64(b[8:]))),
		ttl:   time.Duration(ttl) * time.Millisecond,
		id:    [8]byte(b[24:]),
		value: b[headerLen:],
	}
}

func readEntry(root *os.Root, name string) (entry, error) {
	info, err := root.Lstat(name)
	if err != nil {
		return entry{}, err
	}
	if !info.Mode().IsRegular() { // to open a pipe would wait for a writer
		return entry{}, errors.New(name + " is not a regular file")
	}
	f, err := root.Open(name)
	if err != nil {
		return entry{}, err
	}
	defer f.Close()
	b, err := io.ReadAll(io.LimitReader(f, headerLen+maxValue+1))
	if err != nil {
		return entry{}, err
	}
	return parseEntry(b), nil
}

// tempPrefix begins the names of files that are being written.
const tempPrefix = "tmp."

// writeTemp writes e to a file of its own and returns its name. It is not synced:
// what a crash of the machine leaves is sealed, so it is believed whole or not at all.
func writeTemp(root *os.Root, e entry) (name string, err error) {
	name = tempPrefix + rand.Text()
	return name, writeNew(root, name, e.bytes(), false)
}

// writeNew writes a file that must not be there yet, and leaves none if it fails.
func writeNew(root *os.Root, name string, content []byte, sync bool) error {
	f, err := root.OpenFile(name, os.O_WRONLY|os.O_CREATE|os.O_EXCL, 0o600)
	if err != nil {
		return err
	}
	_, err = f.Write(content)
	if err == nil && sync {
		err = f.Sync()
	}
	if err = errors.Join(err, f.Close()); err != nil {
		_ = root.Remove(name)
	}
	return err
}
