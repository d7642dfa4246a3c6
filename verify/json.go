// SPDX-License-Identifier: MIT

package verify

import (
	"bytes"
	"errors"
	"strconv"
	"unicode/utf16"
	"unicode/utf8"
)

// Limits of a token's JSON. Entra's tokens have some 30 members and a depth of two. A
// token of which nothing is believed yet must not cost many times its size.
const (
	maxMembers = 256
	maxDepth   = 16
	maxTexts   = 500 // in an array: roles
)

var (
	errJSON    = errors.New("not one JSON object")
	errTwice   = errors.New("a member is there twice")
	errName    = errors.New("a member's name is escaped")
	errMembers = errors.New("too many members")
)

// A jsonValue is a value as it stands in the text.
type jsonValue []byte

// members reads b, which must be one JSON object (RFC 8259) in UTF-8, and calls f
// for each of its members. It is stricter than encoding/json, which two readers of
// one token can take for different tokens: a name may be there once, and is never
// escaped.
func members(b []byte, f func(name []byte, value jsonValue) error) error {
	if !utf8.Valid(b) {
		return errJSON
	}
	r := jsonReader{b: b}
	var seen nameSet
	r.space()
	if err := r.object(&seen, f); err != nil {
		return err
	}
	if r.space(); r.i != len(b) {
		return errJSON
	}
	return nil
}

// A nameSet is the names of one object: a hash table of a size that maxMembers
// leaves half empty.
type nameSet struct {
	n     int
	names [maxMembers]struct{ from, to uint16 } // in the text, which maxToken bounds
	slots [2 * maxMembers]uint16                // index in names, from 1
}

// add adds the name b[from:to].
func (s *nameSet) add(b []byte, from, to int) error {
	if s.n == maxMembers {
		return errMembers
	}
	name := b[from:to]
	h := uint32(2166136261) // FNV-1a; whoever makes names collide gets one slower refusal
	for _, c := range name {
		h = (h ^ uint32(c)) * 16777619
	}
	for ; ; h++ {
		slot := &s.slots[h%uint32(len(s.slots))]
		if *slot == 0 {
			s.names[s.n].from, s.names[s.n].to = uint16(from), uint16(to)
			s.n++
			*slot = uint16(s.n)
			return nil
		}
		if old := s.names[*slot-1]; bytes.Equal(b[old.from:old.to], name) {
			return errTwice
		}
	}
}

// A jsonReader reads JSON of which it keeps nothing.
type jsonReader struct {
	b     []byte
	i     int
	depth int
}

func (r *jsonReader) space() {
	for r.i < len(r.b) {
		switch r.b[r.i] {
		case ' ', '\t', '\n', '\r':
			r.i++
		default:
			return
		}
	}
}

// take reads c.
func (r *jsonReader) take(c byte) bool {
	if r.i < len(r.b) && r.b[r.i] == c {
		r.i++
		return true
	}
	return false
}

// object reads an object. If f is not nil it is called for each member, whose names
// are gathered in seen.
func (r *jsonReader) object(seen *nameSet, f func(name []byte, value jsonValue) error) error {
	if !r.take('{') {
		return errJSON
	}
	return r.list('}', func() error {
		from := r.i + 1
		escaped, err := r.str()
		if err != nil {
			return err
		}
		to := r.i - 1
		if r.space(); !r.take(':') {
			return errJSON
		}
		r.space()
		start := r.i
		if err := r.value(); err != nil || f == nil {
			return err
		}
		if escaped {
			return errName
		}
		if err := seen.add(r.b, from, to); err != nil {
			return err
		}
		return f(r.b[from:to], r.b[start:r.i])
	})
}

// list reads what item reads, again and again, up to end.
func (r *jsonReader) list(end byte, item func() error) error {
	if r.depth++; r.depth > maxDepth {
		return errJSON
	}
	if r.space(); !r.take(end) {
		for {
			r.space()
			if err := item(); err != nil {
				return err
			}
			if r.space(); r.take(end) {
				break
			}
			if !r.take(',') {
				return errJSON
			}
		}
	}
	r.depth--
	return nil
}

// value reads any value.
func (r *jsonReader) value() error {
	if r.i == len(r.b) {
		return errJSON
	}
	switch r.b[r.i] {
	case '"':
		_, err := r.str()
		return err
	case '{':
		return r.object(nil, nil)
	case '[':
		r.i++
		return r.list(']', r.value)
	case 't':
		return r.word("true")
	case 'f':
		return r.word("false")
	case 'n':
		return r.word("null")
	}
	return r.number()
}

func (r *jsonReader) word(w string) error {
	if !bytes.HasPrefix(r.b[r.i:], []byte(w)) {
		return errJSON
	}
	r.i += len(w)
	return nil
}

func (r *jsonReader) number() error {
	r.take('-')
	if !r.take('0') && !r.digits() {
		return errJSON
	}
	if r.take('.') && !r.digits() {
		return errJSON
	}
	if r.take('e') || r.take('E') {
		if !r.take('+') {
			r.take('-')
		}
		if !r.digits() {
			return errJSON
		}
	}
	return nil
}

func (r *jsonReader) digits() bool {
	from := r.i
	for r.i < len(r.b) && '0' <= r.b[r.i] && r.b[r.i] <= '9' {
		r.i++
	}
	return r.i > from
}

// str reads a string and reports whether there are escapes in it.
func (r *jsonReader) str() (escaped bool, err error) {
	if !r.take('"') {
		return false, errJSON
	}
	for {
		i := r.i
		for i < len(r.b) && !special[r.b[i]] {
			i++
		}
		if r.i = i + 1; i == len(r.b) {
			return false, errJSON
		}
		switch r.b[i] {
		case '"':
			return escaped, nil
		case '\\':
			escaped = true
			if err := r.escape(); err != nil {
				return false, err
			}
		default:
			return false, errJSON
		}
	}
}

// special are the bytes that do not stand for themselves in a string.
var special = func() (s [256]bool) {
	for c := range ' ' {
		s[c] = true
	}
	s['"'], s['\\'] = true, true
	return s
}()

// escape reads what follows a backslash.
func (r *jsonReader) escape() error {
	if r.i == len(r.b) {
		return errJSON
	}
	c := r.b[r.i]
	r.i++
	if unescaped[c] != 0 {
		return nil
	}
	if _, ok := hex4(r.b[r.i:]); c != 'u' || !ok {
		return errJSON
	}
	r.i += 4
	return nil
}

var unescaped = [256]rune{'"': '"', '\\': '\\', '/': '/', 'b': '\b', 'f': '\f', 'n': '\n', 'r': '\r', 't': '\t'}

func hex4(b []byte) (rune, bool) {
	n, err := strconv.ParseUint(string(b[:min(len(b), 4)]), 16, 16)
	return rune(n), err == nil && len(b) >= 4
}

// text returns the text of a string, and ok if the value is one. A surrogate
// without its other half is no text.
func (v jsonValue) text() (s []byte, ok bool) {
	if len(v) < 2 || v[0] != '"' {
		return nil, false
	}
	b := v[1 : len(v)-1]
	var plain []byte
	for {
		i := bytes.IndexByte(b, '\\')
		switch {
		case i < 0 && plain == nil:
			return b, true
		case i < 0:
			return append(plain, b...), true
		case plain == nil:
			plain = make([]byte, 0, len(b))
		}
		c, size := unescape(b[i:])
		if size == 0 {
			return nil, false
		}
		plain = utf8.AppendRune(append(plain, b[:i]...), c)
		b = b[i+size:]
	}
}

// unescape returns the character that the escapes at the start of b stand for, and
// their length, 0 if they stand for none.
func unescape(b []byte) (c rune, size int) {
	if b[1] != 'u' {
		return unescaped[b[1]], 2
	}
	c, _ = hex4(b[2:])
	if !utf16.IsSurrogate(c) {
		return c, 6
	}
	if b = b[6:]; bytes.HasPrefix(b, []byte(`\u`)) {
		low, _ := hex4(b[2:])
		if c = utf16.DecodeRune(c, low); c != utf8.RuneError {
			return c, 12
		}
	}
	return 0, 0
}

// seconds returns a number that is written as whole seconds, and ok if the value is
// one, from 0 to the year 33658.
func (v jsonValue) seconds() (n int64, ok bool) {
	if len(v) > 12 {
		return 0, false
	}
	for _, c := range v {
		if c < '0' || c > '9' {
			return 0, false
		}
		n = n*10 + int64(c-'0')
	}
	return n, true
}

// texts returns the texts of an array of strings, and ok if the value is one of at
// most maxTexts.
func (v jsonValue) texts(known interned) (all []string, ok bool) {
	r := jsonReader{b: v}
	if !r.take('[') {
		return nil, false
	}
	all = make([]string, 0, min(bytes.Count(v, []byte(","))+1, maxTexts))
	err := r.list(']', func() error {
		from := r.i
		if err := r.value(); err != nil {
			return err
		}
		s, ok := jsonValue(r.b[from:r.i]).text()
		if !ok || len(all) == maxTexts {
			return errJSON
		}
		all = append(all, known.text(s))
		return nil
	})
	return all, err == nil
}
