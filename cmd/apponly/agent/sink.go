// SPDX-License-Identifier: MIT

package agent

import (
	"context"
	"encoding/json"
	"errors"
	"log/slog"
	"os"
	"path/filepath"
	"time"

	"github.com/apponly/apponly"
)

// formats of token files; "" is token.
var formats = []string{"", "token", "header", "curl", "json"}

// content is what a file of a format holds.
func content(format string, t apponly.Token) []byte {
	switch format {
	case "header": // curl -H @FILE
		return []byte("Authorization: Bearer " + t.Value() + "\n")
	case "curl": // curl -K FILE; a token has no character that would need an escape there
		return []byte(`header = "Authorization: Bearer ` + t.Value() + "\"\n")
	case "json":
		body, err := json.Marshal(map[string]any{
			"access_token": t.Value(), "token_type": "Bearer", "expires_on": t.ExpiresOn().UTC().Round(0),
		})
		if err != nil { // text and a time
			panic(err)
		}
		return append(body, '\n')
	}
	return []byte(t.Value())
}

// A sink keeps one file filled with a token.
type sink struct {
	File
	client  *apponly.Client
	log     *slog.Logger
	written apponly.Token // what is in the file
	ends    time.Time     // of what is in the file; zero: there is nothing
	failing bool          // which was told of
}

// leftOver is for how long the file of a former agent is left alone, from when it was
// written: the longest that a token lasts. When its own ends nobody knows any more.
const leftOver = 24 * time.Hour

func newSink(f File, client *apponly.Client, log *slog.Logger) *sink {
	s := &sink{File: f, client: client, log: log}
	if info, err := os.Stat(f.Path); err == nil {
		s.ends = info.ModTime().Add(leftOver)
	}
	return s
}

// Looks are these apart. The token is renewed by KeepWarm, or because an API has
// refused it; a look is a hit.
const shortestLook, longestLook = time.Second, time.Minute

func (s *sink) run(ctx context.Context) {
	for {
		s.expire(time.Now())
		err := s.fill(ctx)
		if ctx.Err() != nil {
			return
		}
		s.tell(err)
		pause := shortestLook
		if err == nil {
			pause = min(max(time.Until(s.written.RefreshOn()), shortestLook), longestLook)
		}
		select {
		case <-time.After(pause):
		case <-ctx.Done():
			return
		}
	}
}

// expire removes a file whose token has ended: a reader that finds none knows more than
// one whose token is refused.
func (s *sink) expire(now time.Time) {
	if s.KeepExpired || s.ends.IsZero() || now.Before(s.ends) {
		return
	}
	s.ends, s.written = time.Time{}, apponly.Token{}
	if err := os.Remove(s.Path); err == nil {
		s.log.Warn("token file removed: its token has ended, and no other is to be had", "file", s.Path)
	}
}

// fill writes the token if it is another than the one in the file.
func (s *sink) fill(ctx context.Context) error {
	if !s.ends.IsZero() { // to be there when it ends
		var cancel context.CancelFunc
		ctx, cancel = context.WithDeadline(ctx, s.ends)
		defer cancel()
	}
	t, err := s.client.Token(ctx, s.Scope)
	if err != nil || t == s.written {
		return err
	}
	if err := s.replace(content(s.Format, t)); err != nil {
		return err
	}
	s.written, s.ends = t, t.ExpiresOn()
	return nil
}

// replace writes the file so that a reader sees the old content or the new one.
func (s *sink) replace(data []byte) error {
	mode, err := parseMode(s.Mode, 0o600)
	if err != nil {
		return err
	}
	// One name, so that an agent that is killed again and again leaves one file.
	temp := filepath.Join(filepath.Dir(s.Path), "."+filepath.Base(s.Path)+".new")
	if err := os.Remove(temp); err != nil && !errors.Is(err, os.ErrNotExist) {
		return err
	}
	f, err := os.OpenFile(temp, os.O_WRONLY|os.O_CREATE|os.O_EXCL, 0o600)
	if err != nil {
		return err
	}
	_, err = f.Write(data)
	if s.Group != nil && err == nil { // before the mode, which is not for the agent's group
		err = f.Chown(-1, *s.Group)
	}
	if err == nil {
		err = f.Chmod(os.FileMode(mode))
	}
	err = errors.Join(err, f.Sync(), f.Close())
	if err == nil {
		err = os.Rename(temp, s.Path)
	}
	if err != nil {
		os.Remove(temp) // whose error matters less than the first
	}
	return err
}

// tell logs that the file cannot be kept fresh, and that it can again, once each.
func (s *sink) tell(err error) {
	if (err != nil) == s.failing {
		return
	}
	s.failing = err != nil
	if err != nil {
		s.log.Warn("token file cannot be written", "file", s.Path, "scope", s.Scope, "error", err.Error())
		return
	}
	s.log.Info("token file is written again", "file", s.Path, "scope", s.Scope)
}
