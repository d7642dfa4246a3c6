// SPDX-License-Identifier: MIT

package apponly

import (
	"context"
	"slices"
	"sync"
)

// A fileReader reads the files of one credential.
type fileReader struct {
	*looks
	mu   sync.Mutex // guards kept; not held while a file is read or parsed
	kept []parsedKey
}

// newFileReaders returns n of them.
func newFileReaders(n int) []*fileReader {
	readers := make([]*fileReader, n)
	for i := range readers {
		readers[i] = &fileReader{looks: newLooks()}
	}
	return readers
}

// readWith has read read the file of that path, and others perhaps.
func readWith[T any](ctx context.Context, r *fileReader, path string, read func() (T, error)) (T, error) {
	return look(ctx, r.looks, "reading "+path, func(context.Context) (T, error) { return read() })
}

// A parsedKey is what one content came to. A key that is encrypted costs a second
// of work or more, of which a file with the password and the content as before
// brings nothing new: not for the next tenant, and not if the password is wrong.
type parsedKey struct {
	sum   [32]byte // of content and password
	pairs *pairs
	err   error
}

// maxKept is for content of before a rotation that comes back, and no more.
const maxKept = 4

// parse returns what parse made of the content with this sum, now or before.
func (r *fileReader) parse(sum [32]byte, parse func() (*pairs, error)) (*pairs, error) {
	if k, ok := r.find(sum); ok {
		return k.pairs, k.err
	}
	p, err := parse()
	r.mu.Lock()
	defer r.mu.Unlock()
	if len(r.kept) == maxKept {
		r.kept = slices.Delete(r.kept, 0, 1)
	}
	r.kept = append(r.kept, parsedKey{sum, p, err})
	return p, err
}

func (r *fileReader) find(sum [32]byte) (parsedKey, bool) {
	r.mu.Lock()
	defer r.mu.Unlock()
	i := slices.IndexFunc(r.kept, func(k parsedKey) bool { return k.sum == sum })
	if i < 0 {
		return parsedKey{}, false
	}
	return r.kept[i], true
}
