// SPDX-License-Identifier: MIT

package screen_test

import (
	"testing"

	"github.com/apponly/apponly/cmd/apponly/internal/screen"
)

func TestRow(t *testing.T) {
	head := screen.Head{Text: "kind", Width: 9}
	for name, tt := range map[string]struct {
		screen screen.Screen
		head   screen.Head
		text   string
		want   string
	}{
		"pipe":             {screen.Screen{}, head, "secret_invalid (credential)", "kind     secret_invalid (credential)\n"},
		"no text":          {screen.Screen{}, head, "", "kind\n"},
		"head too long":    {screen.Screen{}, screen.Head{Text: "kind of it", Width: 9}, "x", "kind of it x\n"},
		"wrapped":          {screen.Screen{Width: 60}, head, "one line of text that is longer than what a screen has room for", "kind     one line of text that is longer than what a screen\n         has room for\n"},
		"narrow":           {screen.Screen{Width: 20}, head, "secret_invalid (credential)", "kind\n  secret_invalid\n  (credential)\n"},
		"colours":          {screen.Screen{Colours: true}, screen.Head{Text: "kind", Colour: screen.Red, Width: 9}, "x", "\x1b[1;31mkind\x1b[0m     x\n"},
		"no colour":        {screen.Screen{Colours: true}, head, "x", "kind     x\n"},
		"letters of bytes": {screen.Screen{}, screen.Head{Text: "Größe", Width: 9}, "x", "Größe    x\n"},
	} {
		if got := tt.screen.Row(tt.text, tt.head); got != tt.want {
			t.Errorf("%s: got %q, want %q", name, got, tt.want)
		}
	}
}
