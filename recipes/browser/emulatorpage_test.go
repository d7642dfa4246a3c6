// SPDX-License-Identifier: MIT

package browser_test

import (
	"context"
	"crypto/x509"
	"fmt"
	"html"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"github.com/apponly/apponly"
	"github.com/apponly/apponly/entratest"
	"github.com/chromedp/cdproto/emulation"
	"github.com/chromedp/chromedp"
)

// An emulated is a program that fails, with an emulator of which a person looks at the page.
type emulated struct {
	t       *testing.T
	entra   *entratest.Server
	address string
}

func newEmulated(t *testing.T) *emulated {
	t.Helper()
	skip(t)
	e := &emulated{t: t, entra: entratest.New(t)}
	authority, err := e.entra.ListenTLS("localhost:0")
	if err != nil {
		t.Fatal(err)
	}
	e.address = authority + "/_emulator/"
	return e
}

// ask is a program that asks for a token once, as an app.
func (e *emulated) ask(app *entratest.App, cred apponly.Credential, scope string) error {
	e.t.Helper()
	client, err := apponly.New(e.entra.Tenant().ID(), app.ClientID(), cred, &apponly.Options{
		Cloud: e.entra.Cloud(), HTTPClient: e.entra.HTTPClient(), Cache: apponly.NewCache(nil),
	})
	if err != nil {
		e.t.Fatal(err)
	}
	ctx, cancel := context.WithTimeout(e.t.Context(), 5*time.Second)
	defer cancel()
	_, err = client.Token(ctx, scope)
	return err
}

func (e *emulated) bySecret() error {
	return e.ask(e.entra.App(), apponly.Secret(e.entra.Secret()), e.entra.API().Scope())
}

// bySubject asks with an assertion that has a subject.
func (e *emulated) bySubject(subject string) error {
	return e.ask(e.entra.App(), apponly.Federated(apponly.AssertionFunc(func(context.Context, apponly.AssertionRequest) (string, error) {
		return e.entra.Issuer().Token(entratest.Claims{Subject: subject, Audience: e.entra.Cloud().ExchangeAudience()}), nil
	})), e.entra.API().Scope())
}

// until waits for an expression to be true in the page.
func (b *tab) until(what, expression string) {
	b.t.Helper()
	for end := time.Now().Add(patience / 2); !script[bool](b, expression); {
		if time.Now().After(end) {
			b.t.Fatalf("%s: never on the page\n%s", what, script[string](b, `document.body.innerText`))
		}
	}
}

// quietly expects the browser to have nothing to complain of.
func (b *tab) quietly() {
	b.t.Helper()
	if got := b.complaints(); len(got) > 0 {
		b.t.Errorf("the browser complains: %q", got)
	}
}

// failing is the comparison that failed in the newest request.
const failing = `(document.querySelector("#list > li:first-child .differs")?.innerText ?? "")`

// What fails is on the page within a second, with what was sent beside what is known.
func TestEmulatorPageIsLive(t *testing.T) {
	e := newEmulated(t)
	b := newTab(t)
	b.want("the page", b.open(e.address), 200, "Emulator of Entra ID")
	b.until("the stream", `document.getElementById("live").textContent === "Live"`)
	script[bool](b, `(() => {
		window.seen = 0;
		new MutationObserver(() => { window.seen ||= Date.now() }).observe(document.getElementById("list"), {childList: true});
		return true;
	})()`)
	const subject = `system:serviceaccount:<b>"shop"</b>:orders`
	if err := e.bySubject(subject); err == nil {
		t.Fatal("a token for another subject")
	}
	answered := time.Now().UnixMilli()
	b.until("the request", `window.seen > 0`)
	if late := script[int64](b, `window.seen`) - answered; late > 1000 {
		t.Errorf("it was there after %d ms, want a second at most", late)
	}
	got := script[string](b, failing)
	for _, text := range []string{"sub", subject, "system:serviceaccount:demo:worker"} {
		if !strings.Contains(got, text) {
			t.Errorf("%q is missing from %q", text, got)
		}
	}
	if text := script[string](b, `document.querySelector("#list > li").innerText`); !strings.Contains(text, "AADSTS700213") || !strings.Contains(text, e.entra.Issuer().URL()) {
		t.Errorf("the request: %s", text)
	}
	if err := e.bySecret(); err != nil {
		t.Fatal(err)
	}
	b.until("what was accepted", `document.querySelectorAll("#list > li.accepted").length === 1 && document.querySelector("#list > li").className === "accepted"`)
	b.until("the counters", fmt.Sprintf(`document.querySelector("#state dd").textContent === "%d"`, e.entra.Counters().Requests))
	if n := script[int](b, `document.scripts.length`); n != 1 {
		t.Errorf("%d scripts, want that of the page alone", n)
	}
	b.quietly()
}

// What is beside the requests does not change under somebody who is about to press a button
// there, and does as soon as they are not.
func TestEmulatorPageKeepsFocus(t *testing.T) {
	e := newEmulated(t)
	b := newTab(t)
	b.open(e.address)
	b.until("the stream", `document.getElementById("live").textContent === "Live"`)
	script[bool](b, `(document.querySelector('`+blocks+`').focus(), true)`)
	if err := e.bySecret(); err != nil {
		t.Fatal(err)
	}
	b.until("the request", `document.querySelectorAll("#list > li.accepted").length === 1`)
	counted := fmt.Sprintf(`document.querySelector("#state dd").textContent === "%d"`, e.entra.Counters().Requests)
	if !script[bool](b, `document.activeElement.matches('`+blocks+`')`) || script[bool](b, counted) {
		t.Error("the button went away from under the keyboard")
	}
	script[bool](b, `(document.activeElement.blur(), true)`)
	b.until("the counters", counted)
	b.quietly()
}

// Without a script the page is as it was when it was loaded.
func TestEmulatorPageWithoutScript(t *testing.T) {
	e := newEmulated(t)
	b := newTab(t)
	do(b, chromedp.Func(func(ctx context.Context, _ *chromedp.Target) error {
		_, err := chromedp.Call(ctx, emulation.SetScriptExecutionDisabled, emulation.SetScriptExecutionDisabledParams{Value: true})
		return err
	}))
	b.want("the page", b.open(e.address), 200, "Emulator of Entra ID")
	if err := e.bySubject("someone"); err == nil {
		t.Fatal("a token for another subject")
	}
	got := b.open(e.address)
	if !strings.Contains(got.text, "AADSTS700213") || !strings.Contains(got.text, "someone") || !strings.Contains(got.text, "Reload for newer requests") {
		t.Errorf("after a reload: %s", got.text)
	}
	b.click(blocks)
	if err := e.bySecret(); !isBlocked(err) {
		t.Errorf("with the fault: %v", err)
	}
	b.quietly()
}

// blocks is the switch of a fault after which a client does not try again.
const blocks = `button[aria-label="Conditional Access blocks"]`

func isBlocked(err error) bool { return err != nil && strings.Contains(err.Error(), "AADSTS53003") }

// What a person switches makes a program fail, and what is switched off does not.
func TestEmulatorPageSwitchesFaults(t *testing.T) {
	e := newEmulated(t)
	b := newTab(t)
	b.open(e.address)
	b.want("on", b.click(blocks), 200, "Emulator of Entra ID")
	if on := script[string](b, `document.querySelector('`+blocks+`').getAttribute("aria-checked")`); on != "true" {
		t.Errorf("the switch is %q", on)
	}
	if err := e.bySecret(); !isBlocked(err) {
		t.Errorf("with the fault: %v", err)
	}
	b.until("the fault", `document.querySelector("#list > li strong")?.textContent === "fault: code 53003"`)
	b.until("its hits", `/met [1-9]/.test(document.querySelector(".switches .on")?.textContent)`)
	b.click(blocks)
	if err := e.bySecret(); err != nil {
		t.Errorf("without the fault: %v", err)
	}

	do(b, chromedp.SendKeys(chromedp.CSS(`input[name="code"]`), "7000215"))
	do(b, chromedp.SendKeys(chromedp.CSS(`input[name="times"]`), "1"))
	b.click(`button[value="add fault"]`)
	if err := e.bySecret(); err == nil || !strings.Contains(err.Error(), "AADSTS7000215") {
		t.Errorf("with another fault: %v", err)
	}
	if err := e.bySecret(); err != nil {
		t.Errorf("once it has used itself up: %v", err)
	}

	do(b, chromedp.SendKeys(chromedp.CSS(`input[name="status"]`), "99"))
	got := b.click(`button[value="add fault"]`)
	if got.status != http.StatusBadRequest || !strings.Contains(got.text, "status is 99") {
		t.Errorf("a mistake: %d, %s", got.status, got.text)
	}
	do(b, chromedp.SendKeys(chromedp.CSS(`input[name="offset"]`), "720h"))
	b.click(`button[value="set clock"]`)
	if off := time.Until(e.entra.Now()); off < 719*time.Hour {
		t.Errorf("the clock is off by %v", off)
	}
	b.click(`button[value="right clock"]`)
	if off := time.Until(e.entra.Now()).Abs(); off > time.Minute {
		t.Errorf("the clock is off by %v", off)
	}
	b.quietly()
}

// Another site can neither press a button of the page, nor follow it, nor hide it in a frame.
func TestEmulatorPageIsNotForOtherSites(t *testing.T) {
	e := newEmulated(t)
	site := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		address := html.EscapeString(e.address)
		fmt.Fprintf(w, `<!DOCTYPE html><h1>Win a prize</h1><iframe src="%[1]s"></iframe>
<form method="post" action="%[1]s"><input type="hidden" name="number" value="0"><button name="do" value="switch on">Win</button></form>
<a href="%[1]s">A link</a>
<script>
window.told = "";
new EventSource(%[2]q).onmessage = (e) => { window.told += e.data };
fetch(%[3]q, {mode: "no-cors"}).then((r) => { window.told += r.type }, () => { window.told += "failed" });
</script>`, address, e.address+"events", e.address+"requests")
	}))
	defer site.Close()
	b := newTab(t)
	b.open(site.URL)
	b.until("the script", `window.told !== ""`)
	if told := script[string](b, `window.told`); told != "failed" { // for want of a Cross-Origin-Resource-Policy it would be opaque
		t.Errorf("the script was told %q", told)
	}
	if got := b.click(`button[value="switch on"]`); got.status != http.StatusForbidden {
		t.Errorf("a forged form: %d, %s", got.status, got.text)
	}
	if err := e.bySecret(); err != nil {
		t.Errorf("the form counts: %v", err)
	}
	b.open(site.URL)
	b.want("a link", b.click("a"), 200, "Emulator of Entra ID")
	if got := strings.Join(b.complaints(), "\n"); !strings.Contains(got, "ERR_BLOCKED_BY_RESPONSE") {
		t.Errorf("it was framed: %s", got)
	}
}

// The page can be read, on a screen and on a phone, in light and dark, and holds no secret.
func TestEmulatorPageIsReadable(t *testing.T) {
	e := newEmulated(t)
	e.entra.App().AddSecret("a~former=secret", time.Now().AddDate(0, 0, -1))
	e.bySecret()
	e.bySubject("api://" + strings.Repeat("x", 500))
	for _, secret := range []string{"a~wrong=secret", "a~former=secret", e.entra.Secret() + "\n"} {
		e.ask(e.entra.App(), apponly.Secret(secret), e.entra.API().Scope())
	}
	cert := e.entra.Certificate()
	e.ask(e.entra.App(), apponly.Certificate([]*x509.Certificate{cert.Leaf}, cert.Key, nil), "https://graph.microsoft.com/.default")
	if _, err := e.entra.AddFault(entratest.Fault{Endpoint: "keys", Status: 503, Tenant: e.entra.Tenant().ID()}); err != nil {
		t.Fatal(err)
	}
	e.entra.SetClockOffset(time.Second * 90)
	b := newTab(t)
	for _, scheme := range []string{"light", "dark"} {
		do(b, prefer(scheme))
		for _, width := range []int64{360, 700, 1100, 1500} {
			do(b, chromedp.EmulateViewport(width, 900))
			got := b.open(e.address)
			b.want(scheme, got, 200, "Emulator of Entra ID")
			if wide := script[int](b, `document.documentElement.scrollWidth - innerWidth`); wide > 0 {
				t.Errorf("%d pixels, %s: %d too wide", width, scheme, wide)
			}
			if least := script[float64](b, contrast); least < 4.5 {
				t.Errorf("%d pixels, %s: contrast %.2f", width, scheme, least)
			}
			if unnamed := script[string](b, `[...document.querySelectorAll("button, input:not([type=hidden]), select, a, summary")].filter((n) =>
				!(n.getAttribute("aria-label") || n.textContent.trim() || n.closest("label")?.textContent.trim())).map((n) => n.outerHTML).join()`); unnamed != "" {
				t.Errorf("without a name: %s", unnamed)
			}
			all := script[string](b, `document.documentElement.outerHTML`)
			for _, secret := range []string{e.entra.Secret(), "a~wrong", "a~former"} {
				if strings.Contains(html.UnescapeString(all), secret) {
					t.Errorf("%q is on the page", secret)
				}
			}
		}
	}
	b.quietly()
}
