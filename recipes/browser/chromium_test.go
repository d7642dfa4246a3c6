// SPDX-License-Identifier: MIT

package browser_test

import (
	"context"
	"flag"
	"os"
	"os/exec"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/chromedp/cdproto/log"
	"github.com/chromedp/chromedp"
)

// patience bounds what a tab does: a machine that is busy takes its time.
const patience = time.Minute

var programs = []string{"chromium", "chromium-browser", "google-chrome", "google-chrome-stable", "chrome"}

// browser is started once: that takes longer than any test.
var browser struct {
	ctx context.Context
	end context.CancelFunc
	why string // there is none
	err error
}

// withBrowser is not the default: a browser judges by real time, and beside all other
// tests it has little of it.
var withBrowser = flag.Bool("browser", false, "run the tests that need a browser")

func TestMain(m *testing.M) {
	flag.Parse()
	start()
	code := m.Run()
	if browser.end != nil {
		browser.end()
	}
	os.Exit(code)
}

func start() {
	if !*withBrowser {
		browser.why = "-browser is not set"
		return
	}
	path := ""
	for _, name := range programs {
		if found, err := exec.LookPath(name); err == nil {
			path = found
			break
		}
	}
	if path == "" {
		browser.why = "no browser on this machine, looked for " + strings.Join(programs, ", ")
		return
	}
	options := append(chromedp.DefaultExecAllocatorOptions[:],
		chromedp.ExecPath(path),
		chromedp.WSURLReadTimeout(patience),
		chromedp.Flag("disable-dev-shm-usage", true), // which is small in containers
		chromedp.Flag("ignore-certificate-errors", true),
		// Nothing but this machine, whatever proxy the environment names.
		chromedp.Flag("no-proxy-server", true),
		chromedp.Flag("host-resolver-rules", "MAP * ~NOTFOUND, EXCLUDE localhost, EXCLUDE 127.0.0.1"),
	)
	if os.Geteuid() == 0 {
		options = append(options, chromedp.NoSandbox) // which root cannot have
	}
	allocator, stop := chromedp.NewExecAllocator(context.Background(), options...)
	ctx, cancel := chromedp.NewContext(allocator, chromedp.WithErrorf(quiet))
	browser.ctx, browser.end = ctx, func() { cancel(); stop() }
	browser.err = chromedp.Do(ctx)
}

// quiet leaves out what the driver does not understand: a browser that is newer than its
// description of the protocol sends events with values that it does not know.
func quiet(string, ...any) {}

// A tab is one of a browser that has no cookie yet.
type tab struct {
	t   *testing.T
	ctx context.Context

	mu       sync.Mutex // guards messages
	messages []string
}

// skip ends a test for which there is no browser.
func skip(t *testing.T) {
	t.Helper()
	if browser.why != "" {
		t.Skip(browser.why)
	}
}

func newTab(t *testing.T) *tab {
	t.Helper()
	if browser.err != nil {
		t.Fatalf("the browser does not start: %v", browser.err)
	}
	ctx, cancel := chromedp.NewContext(browser.ctx, chromedp.WithNewBrowserContext())
	ctx, stop := context.WithTimeout(ctx, patience)
	t.Cleanup(func() { stop(); cancel() })
	b := &tab{t: t, ctx: ctx}
	if err := chromedp.Listen(ctx, b.note); err != nil {
		t.Fatal(err)
	}
	return b
}

// note keeps what the browser writes into its console.
func (b *tab) note(event any) {
	e, ok := event.(*log.EventEntryAdded)
	if !ok || e.Entry.Level != log.EntryLevelError && e.Entry.Level != log.EntryLevelWarning {
		return
	}
	b.mu.Lock()
	defer b.mu.Unlock()
	b.messages = append(b.messages, e.Entry.Text)
}

// complaints are what the browser has put into its console: a policy that was broken, for
// one thing. It complains of every status of 400 and more, which is no news.
func (b *tab) complaints() []string {
	b.mu.Lock()
	defer b.mu.Unlock()
	return slices.DeleteFunc(slices.Clone(b.messages), func(m string) bool {
		return strings.Contains(m, "the server responded with a status of")
	})
}

// do does something in a tab, and returns what that results in.
func do[T any](b *tab, action chromedp.Action[T]) T {
	b.t.Helper()
	result, err := chromedp.Run(b.ctx, action)
	if err != nil {
		b.t.Fatal(err)
	}
	return result
}

// script evaluates an expression in the page, which has no script of its own.
func script[T any](b *tab, expression string) T {
	b.t.Helper()
	return do(b, chromedp.Evaluate[T](expression))
}

// A shown is what a tab shows.
type shown struct {
	status               int
	address, title, text string // the title is the heading
}

// settle does something that leads to another page, and returns that.
func (b *tab) settle(action chromedp.Action[chromedp.Void]) shown {
	b.t.Helper()
	resp, err := chromedp.RunResponse(b.ctx, action)
	if err != nil {
		b.t.Fatal(err)
	}
	return shown{
		int(resp.Status), do(b, chromedp.Location()),
		script[string](b, `document.querySelector("h1")?.textContent ?? ""`), script[string](b, `document.body.innerText`),
	}
}

func (b *tab) open(address string) shown { b.t.Helper(); return b.settle(chromedp.Navigate(address)) }

func (b *tab) click(selector string) shown {
	b.t.Helper()
	return b.settle(chromedp.Click(chromedp.CSS(selector)))
}

// press presses a button of Entra's page.
func (b *tab) press(decision string) shown {
	b.t.Helper()
	return b.click(`button[value="` + decision + `"]`)
}

func (b *tab) want(name string, got shown, status int, title string) {
	b.t.Helper()
	if got.status != status || !strings.Contains(got.title, title) {
		b.t.Errorf("%s: status %d, %q at %s\n%s", name, got.status, got.title, got.address, got.text)
	}
}

// stale is the title of the page for what counts for nothing.
const stale = "This link does not work any more"
