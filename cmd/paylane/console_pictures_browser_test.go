//go:build browser

package main

import (
	"bytes"
	"flag"
	"image/png"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/chromedp/chromedp"
)

var update = flag.Bool("update", false, "take the documents' pictures of the console again")

// TestBrowserConsolePictures: the documents show the console as it looks. With -update it takes the
// pictures; without, they must be there, in the size that they would be taken in, and shown.
func TestBrowserConsolePictures(t *testing.T) {
	g := startConsole(t)
	story := g.place(t, `{"items": [{"sku": "TEA-1", "quantity": 2, "unitPrice": 6000}], "customerId": "c-42",
		"metadata": {"cart": "77"}, "paymentToken": "tok_flaky_2"}`, "PAID", 3)
	p := openTab(t, openBrowser(t), g.url)
	documents := readFiles(t, "README.md", "docs/tutorial.md")
	wide, narrow := view{"", 1280, 800, "light"}, view{"", 375, 812, "light"}
	dark := view{"", 1280, 800, "dark"}
	take := func(name string, v view, path, ready string) {
		t.Helper()
		p.look(v)
		p.open(path)
		p.awaits(ready)
		taken, err := chromedp.Run(p.ctx, chromedp.CaptureScreenshot())
		if err != nil {
			t.Fatal(err)
		}
		file := filepath.Join(root, "docs", "pictures", name)
		if *update {
			if err := os.WriteFile(file, taken, 0o644); err != nil {
				t.Fatal(err)
			}
		}
		kept, err := os.ReadFile(file)
		if err != nil {
			t.Fatalf("%v: take it by -update", err)
		}
		size, err := png.DecodeConfig(bytes.NewReader(kept))
		if err != nil || int64(size.Width) != v.width || int64(size.Height) != v.height {
			t.Errorf("%s is %d × %d pixels: %v", name, size.Width, size.Height, err)
		}
		if !strings.Contains(documents, "pictures/"+name) {
			t.Errorf("no document shows %s", name)
		}
	}

	p.open("/console/try")
	p.follows("[name=set][value=outage]")
	p.follows("[name=size][value='100']")
	take("queues.png", wide, "/console/queues", `/PaymentQueue/.test(document.getElementById("queues").innerText)`)
	take("try.png", wide, "/console/try#weather", `document.getElementById("runs").innerText.includes("100 of 100 placed: 100 open")`)
	p.follows("[name=set][value=end]")
	p.awaits(`document.getElementById("runs").innerText.includes("all at their ends")`)
	take("board.png", wide, "/console", boardLive)
	take("story.png", dark, "/console/orders/"+story, shown("PAID"))
	take("phone.png", narrow, "/console/orders/"+story, shown("PAID"))
}

// readFiles returns the texts of the project's files, one after another.
func readFiles(t *testing.T, names ...string) (all string) {
	t.Helper()
	for _, name := range names {
		text, err := os.ReadFile(filepath.Join(root, name))
		if err != nil {
			t.Fatal(err)
		}
		all += string(text)
	}
	return all
}
