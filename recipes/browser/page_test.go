// SPDX-License-Identifier: MIT

package browser_test

import (
	"context"
	"fmt"
	"html"
	"io"
	"net/http"
	"net/http/httptest"
	"net/url"
	"regexp"
	"strings"
	"testing"

	"github.com/apponly/apponly/consent"
	"github.com/chromedp/cdproto/emulation"
	"github.com/chromedp/chromedp"
)

// A program that shows the result elsewhere redirects once more, to another origin.
// Chromium applies the form-action of Entra's page to that as well.
func TestOnwardRedirect(t *testing.T) {
	for _, s := range both {
		t.Run(s.String(), func(t *testing.T) {
			skip(t)
			elsewhere := httptest.NewTLSServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { fmt.Fprint(w, "<!DOCTYPE html><h1>Elsewhere</h1>") }))
			defer elsewhere.Close()
			w := newWorld(t, s, func(rw http.ResponseWriter, r *http.Request, _ consent.Result) {
				http.Redirect(rw, r, elsewhere.URL, http.StatusSeeOther)
			})
			b := newTab(t)
			b.open(w.app.URL + "/start")
			b.want("the page elsewhere", b.press("approve"), 200, "Elsewhere")
		})
	}
}

// frames is a page of a site that means harm: it hides others in frames.
func frames(address ...string) http.HandlerFunc {
	return func(w http.ResponseWriter, _ *http.Request) {
		fmt.Fprint(w, "<!DOCTYPE html><h1>Win a prize</h1>")
		for _, a := range address {
			fmt.Fprintf(w, `<iframe src="%s"></iframe>`, html.EscapeString(a))
		}
	}
}

// Nobody clicks on either page without seeing it.
func TestFrames(t *testing.T) {
	in(t, both, func(w *world) {
		b := newTab(w.t)
		entra := b.open(w.app.URL + "/start").address
		w.mux.HandleFunc("GET /prize", frames(entra, w.app.URL+"/consent/callback"))
		b.open(w.app.URL + "/prize")
		refused := 0
		for _, m := range b.complaints() {
			if strings.Contains(m, "frame-ancestors 'none'") {
				refused++
			}
		}
		if refused != 2 {
			w.t.Errorf("%d frames are refused, want 2: %q", refused, b.complaints())
		}
	})
}

var formToken = regexp.MustCompile(`name="form" value="([^"]+)"`)

// Another site has a form of Entra's, with a token that it has asked for itself, and
// somebody who presses its button.
func TestForgedForm(t *testing.T) {
	in(t, both, func(w *world) {
		b := newTab(w.t)
		address := b.open(w.app.URL + "/start").address
		resp, err := w.entra.HTTPClient().Get(address)
		w.must(err)
		defer resp.Body.Close()
		page, err := io.ReadAll(resp.Body)
		w.must(err)
		token := formToken.FindSubmatch(page)
		if token == nil {
			w.t.Fatalf("no token in %s", page)
		}
		w.mux.HandleFunc("GET /prize", func(rw http.ResponseWriter, _ *http.Request) {
			fmt.Fprintf(rw, `<!DOCTYPE html><h1>Win a prize</h1><form method="post" action="%s"><input type="hidden" name="form" value="%s"><button name="decision" value="approve">Win</button></form>`,
				html.EscapeString(address), token[1])
		})
		b.open(w.app.URL + "/prize")
		if got := b.press("approve"); got.status != http.StatusForbidden || !strings.Contains(got.text, "Another site has sent this form") {
			w.t.Errorf("status %d at %s: %s", got.status, got.address, got.text)
		}
		w.wantTold("a forged form", 0)
	})
}

// What the administrator is told does not lead away, and what is refused is told on the
// page.
func TestRefusal(t *testing.T) {
	in(t, both, func(w *world) {
		b := newTab(w.t)
		address := b.open(w.app.URL + "/start").address
		got := b.open(strings.Replace(address, url.QueryEscape(w.cfg.RedirectURL), url.QueryEscape("https://evil.example/"), 1))
		b.want("another redirect", got, 400, "The app cannot be approved here")
		if !strings.Contains(got.text, "AADSTS50011") {
			w.t.Error(got.text)
		}
		w.customer.Withdraw(w.entra.API())
		if got := b.open(w.app.URL + "/start"); got.status != 400 || !strings.Contains(got.text, "AADSTS650052") {
			w.t.Errorf("status %d: %s", got.status, got.text)
		}
		w.wantTold("a refusal", 0)
	})
}

// contrast is an expression for the least contrast of text on a page (WCAG 2.2, 1.4.3),
// and where that is. Colours are painted to be read, as they may be mixed.
const contrast = `(() => {
	const canvas = document.createElement("canvas").getContext("2d", {willReadFrequently: true});
	const rgb = (...layers) => {
		for (const c of layers) { canvas.fillStyle = c; canvas.fillRect(0, 0, 1, 1); }
		return [...canvas.getImageData(0, 0, 1, 1).data].slice(0, 3);
	};
	const luminance = c => {
		const [r, g, b] = c.map(v => { v /= 255; return v <= 0.04045 ? v / 12.92 : ((v + 0.055) / 1.055) ** 2.4; });
		return 0.2126 * r + 0.7152 * g + 0.0722 * b;
	};
	const path = e => e ? [...path(e.parentElement), e] : [];
	let least = 21;
	for (const e of document.querySelectorAll("h1, h2, p, th, td, dt, dd, li, span, strong, small, code, time, button, label, option, select, a")) {
		const styles = path(e).map(p => getComputedStyle(p));
		const base = matchMedia("(prefers-color-scheme: dark)").matches ? "#000" : "#fff";
		const behind = rgb(base, ...styles.map(s => s.backgroundColor));
		const opacity = styles.reduce((o, s) => o * s.opacity, 1);
		const front = rgb(base, ...styles.map(s => s.backgroundColor), styles.at(-1).color).map((v, i) => v * opacity + behind[i] * (1 - opacity));
		const [a, b] = [luminance(front), luminance(behind)].sort((x, y) => y - x);
		least = Math.min(least, (a + 0.05) / (b + 0.05));
	}
	return least;
})()`

// Both pages can be read in light and dark, have a language and one heading, and every
// field a name.
func TestPagesAreAccessible(t *testing.T) {
	skip(t)
	w := newWorld(t, settings[0], nil)
	b := newTab(t)
	for _, scheme := range []string{"light", "dark"} {
		do(b, prefer(scheme))
		for name, page := range map[string]func(){
			"a choice":  func() { b.open(w.app.URL + "/start/any") },
			"one":       func() { b.open(w.app.URL + "/start") },
			"refused":   func() { b.open(w.entra.Cloud().Authority() + "/x/adminconsent") },
			"approved":  func() { b.open(w.app.URL + "/start"); b.press("approve") },
			"cancelled": func() { b.open(w.app.URL + "/start"); b.press("cancel") },
			"stale":     func() { b.open(w.cfg.RedirectURL) },
		} {
			page()
			if least := script[float64](b, contrast); least < 4.5 {
				t.Errorf("%s, %s: contrast %.2f", name, scheme, least)
			}
			if !script[bool](b, `document.documentElement.lang === "en" && document.title !== "" && document.querySelectorAll("h1").length === 1 && document.querySelector("main") !== null`) {
				t.Errorf("%s: no language, title, heading or main", name)
			}
			if n := script[int](b, `[...document.querySelectorAll("select, input:not([type=hidden])")].filter(e => e.labels.length === 0).length`); n != 0 {
				t.Errorf("%s: %d fields without a name", name, n)
			}
			if scripts := script[int](b, `document.scripts.length`); scripts != 0 {
				t.Errorf("%s: %d scripts", name, scripts)
			}
			if background := script[string](b, `getComputedStyle(document.body).display`); background != "grid" {
				t.Errorf("%s: the style is not applied, display is %s", name, background)
			}
		}
	}
	if got := b.complaints(); len(got) > 0 {
		t.Errorf("the browser complains: %q", got)
	}
}

// prefer sets the colour scheme that the user likes.
func prefer(scheme string) chromedp.Action[chromedp.Void] {
	return chromedp.Func(func(ctx context.Context, _ *chromedp.Target) error {
		_, err := chromedp.Call(ctx, emulation.SetEmulatedMedia, emulation.SetEmulatedMediaParams{
			Features: []*emulation.MediaFeature{{Name: "prefers-color-scheme", Value: scheme}},
		})
		return err
	})
}
