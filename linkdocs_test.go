// SPDX-License-Identifier: MIT

package apponly_test

import (
	"io/fs"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"
)

var (
	markdownLink = regexp.MustCompile(`\]\(([^()\s]+)\)`)
	markdownHead = regexp.MustCompile("(?m)^#{1,6} (.*)$")
	codeBlock    = regexp.MustCompile("(?ms)^```.*?^```")
	inlineCode   = regexp.MustCompile("`[^`\n]*`")
)

// TestLinksLeadSomewhere follows every relative link of every page, to a file or a folder
// of the repository and to a heading of it.
func TestLinksLeadSomewhere(t *testing.T) {
	t.Parallel()
	links := 0
	for _, page := range pagesOf(t) {
		text := codeBlock.ReplaceAllString(readText(t, page), "")
		text = inlineCode.ReplaceAllString(text, "")
		for _, m := range markdownLink.FindAllStringSubmatch(text, -1) {
			if strings.Contains(m[1], "://") || strings.HasPrefix(m[1], "mailto:") {
				continue
			}
			links++
			path, anchor, _ := strings.Cut(m[1], "#")
			target := page
			if path != "" {
				target = filepath.Join(filepath.Dir(page), path)
			}
			if _, err := os.Stat(target); err != nil {
				t.Errorf("%s: %s: %v", page, m[1], err)
			} else if anchor != "" && !slices.Contains(anchorsOf(readText(t, target)), anchor) {
				t.Errorf("%s: %s: there is no such heading", page, m[1])
			}
		}
	}
	if links < 100 {
		t.Errorf("%d links", links)
	}
}

// pagesOf returns the pages of documentation of the repository.
func pagesOf(t *testing.T) (pages []string) {
	t.Helper()
	err := filepath.WalkDir(".", func(path string, d fs.DirEntry, err error) error {
		switch {
		case err != nil:
			return err
		case d.IsDir() && (d.Name() == "node_modules" || d.Name() == ".git"):
			return filepath.SkipDir
		case strings.HasSuffix(path, ".md"):
			pages = append(pages, path)
		}
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	return pages
}

// anchorsOf returns what GitHub makes of the headings of a page.
func anchorsOf(text string) (anchors []string) {
	gone := regexp.MustCompile(`[^\p{L}\p{N} _-]`)
	for _, m := range markdownHead.FindAllStringSubmatch(codeBlock.ReplaceAllString(text, ""), -1) {
		anchor := strings.ReplaceAll(strings.ToLower(gone.ReplaceAllString(m[1], "")), " ", "-")
		anchors = append(anchors, anchor)
	}
	return anchors
}
