// SPDX-License-Identifier: MIT

package browser_test

import (
	"bytes"
	"cmp"
	"flag"
	"image"
	"image/color"
	"image/draw"
	"image/png"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"testing"

	"github.com/apponly/apponly/consent"
	"github.com/chromedp/chromedp"
)

var screenshots = flag.String("screenshots", "", "directory for pictures of both pages")

// maxPicture bounds a picture in a repository, in bytes.
const maxPicture = 120 << 10

// TestScreenshots takes the pictures of the documentation, with names that do not change.
func TestScreenshots(t *testing.T) {
	skip(t)
	if *screenshots == "" {
		t.Skip("-screenshots is not set")
	}
	w := newWorld(t, settings[0], nil)
	vendor := w.entra.AddTenantID("6f1d2a34-5b6c-4d7e-8f90-a1b2c3d4e5f6", "vendor.example")
	customer := w.entra.AddTenantID("0a1b2c3d-4e5f-4061-8273-94a5b6c7d8e9", "contoso.example")
	app := vendor.NewAppID("1b2c3d4e-5f60-4172-8394-a5b6c7d8e9f0")
	orders := vendor.NewResourceID("2c3d4e5f-6071-4283-94a5-b6c7d8e9f0a1", "https://orders.vendor.example", "Orders.Read.All", "Orders.Write.All")
	customer.Provide(orders)
	app.Require(orders, orders.Roles()...)
	app.AddRedirectURI(w.cfg.RedirectURL)
	w.cfg.ClientID, w.cfg.Scope = app.ClientID(), orders.Scope()
	flow, err := consent.New(w.cfg)
	w.must(err)
	w.flow = flow
	w.mux.Handle("GET /start/picture", flow.Start(customer.ID()))

	b := newTab(t)
	do(b, prefer("light"))
	do(b, chromedp.EmulateViewport(660, 600))
	b.want("Entra's page", b.open(w.app.URL+"/start/picture"), 200, "Approve an app")
	b.picture("consent-page.png")
	do(b, chromedp.EmulateViewport(660, 340))
	b.want("the app's page", b.press("approve"), 200, "Thank you")
	b.picture("consent-result.png")
}

func (b *tab) picture(name string) {
	b.t.Helper()
	data, err := fewColours(do(b, chromedp.CaptureScreenshot()))
	if err != nil {
		b.t.Fatal(err)
	}
	if len(data) > maxPicture {
		b.t.Errorf("%s has %d bytes, want %d at most", name, len(data), maxPicture)
	}
	if err := os.WriteFile(filepath.Join(*screenshots, name), data, 0o644); err != nil {
		b.t.Fatal(err)
	}
}

// fewColours makes a picture smaller by half: the edges of letters have thousands of
// colours, of which the 256 most frequent will do.
func fewColours(data []byte) ([]byte, error) {
	from, err := png.Decode(bytes.NewReader(data))
	if err != nil {
		return nil, err
	}
	frame, count := from.Bounds(), map[color.Color]int{}
	for y := frame.Min.Y; y < frame.Max.Y; y++ {
		for x := frame.Min.X; x < frame.Max.X; x++ {
			count[from.At(x, y)]++
		}
	}
	palette := color.Palette(slices.SortedFunc(maps.Keys(count), func(a, b color.Color) int { return cmp.Compare(count[b], count[a]) }))
	to := image.NewPaletted(frame, palette[:min(len(palette), 256)])
	draw.Draw(to, frame, from, frame.Min, draw.Src)
	var out bytes.Buffer
	err = (&png.Encoder{CompressionLevel: png.BestCompression}).Encode(&out, to)
	return out.Bytes(), err
}
