package browser

import (
	"strings"
	"testing"

	"github.com/chromedp/chromedp"
)

// A reader sees the mesh whole, sees a cut within seconds wherever she looks, and sees it heal.
func TestACutIsSeenAndItsHealing(t *testing.T) {
	d := startDemo(t)
	b := open(t, d.sites["west-edge-1"], "/")
	b.wait("a mesh that is heard whole", `document.querySelector("#coverage.good")?.textContent.includes("10 of 10 nodes")`)
	b.wait("both regions on the map", `document.querySelectorAll("#map .region.good").length === 2 && document.querySelectorAll("#regions .card.good").length === 2`)
	b.picture("mesh")

	d.run("cut", "east")
	b.wait("the alarm", `document.querySelector("#coverage.bad, #coverage.old") !== null`)
	b.wait("the region that is cut off", `document.querySelector('[data-region=east].bad, [data-region=east].old') !== null`)
	if !eval[bool](b, `document.querySelector('[data-region=west].good') !== null`) {
		t.Error("the region that can be heard is shown as cut off, too")
	}
	b.do(chromedp.Click("#coverage"))
	b.wait("the list of what is missing", `!document.querySelector("#gaps").hidden && document.querySelector("#gaps").textContent.includes("east")`)
	b.do(chromedp.Navigate(d.sites["west-edge-1"] + "/#/explore"))
	b.wait("the alarm above the explorer as well", `document.querySelector("#coverage.bad, #coverage.old") !== null && !document.querySelector("#explore").hidden`)
	b.picture("cut")

	d.run("heal", "east")
	b.wait("a mesh that is whole again", `document.querySelector("#coverage.good")?.textContent.includes("10 of 10 nodes")`)
}

// What an application counts at an edge is found, totalled and drawn at a hub of the other region, from the windows on its disk; a cut
// is said beside the answer, and what was counted behind it is in the curve after.
func TestWhatIsCountedIsFoundAndDrawnAcrossACut(t *testing.T) {
	d := startDemo(t)
	b := open(t, d.sites["west-hub-1"], "/#/explore")
	d.count("east-edge-1", "page.clicks", 120)
	b.wait("the metric in the search", `(() => { const i = document.querySelector("#metric"); i.value = "page.cl"; i.focus(); i.dispatchEvent(new Event("input"));
		return document.querySelector("#found [role=option]")?.textContent === "page.clicks"; })()`)
	b.do(chromedp.KeyEvent("\ue015"), chromedp.KeyEvent("\r"))
	b.wait("the total and a curve above zero", `document.querySelector("#now strong")?.textContent === "120" &&
		Number(document.querySelector("#legend tbody td:last-child")?.textContent) > 0`)

	d.run("cut", "east")
	d.count("east-edge-1", "page.clicks", 600)
	b.wait("the gap beside the answer", `document.querySelector("#notices").textContent.includes("east")`)
	b.picture("history_cut")
	d.run("heal", "east")
	b.wait("the exact total", `document.querySelector("#now strong").textContent === "720"`)
	b.wait("a curve that holds what was counted behind the cut", `Number(document.querySelector("#legend tbody td:last-child").textContent) >= 9`)
	b.picture("history")
}

// The same page fits a phone, is dark where its reader wants that, and needs no mouse.
func TestThePageFitsAPhoneDarkAndByKeyboard(t *testing.T) {
	d := startDemo(t)
	b := open(t, d.sites["east-hub-1"], "/")
	light := eval[string](b, `getComputedStyle(document.body).backgroundColor`)
	b.dark()
	b.size(390, 844)
	b.wait("the cards", `document.querySelectorAll("#regions .card.good").length === 2`)
	if now := eval[string](b, `getComputedStyle(document.body).backgroundColor`); now == light {
		t.Errorf("dark or light, the page is %s", now)
	}
	for _, view := range []string{"mesh", "explore"} {
		b.do(chromedp.Evaluate(`location.hash = "#/`+view+`"`, nil))
		b.wait(view, `!document.querySelector("#`+view+`").hidden`)
		if wide := eval[int](b, `document.documentElement.scrollWidth - document.documentElement.clientWidth`); wide > 0 {
			t.Errorf("%s is %d pixels wider than a phone", view, wide)
		}
	}
	b.picture("phone")

	b.do(chromedp.Evaluate(`location.hash = "#/mesh"; document.activeElement?.blur()`, nil))
	reached := map[string]bool{}
	for range 8 {
		b.do(chromedp.KeyEvent("\t"))
		reached[eval[string](b, `document.activeElement.id || document.activeElement.dataset.view || document.activeElement.className`)] = true
	}
	for _, want := range []string{"skip", "mesh", "explore", "theme", "coverage"} {
		if !reached[want] {
			t.Errorf("the keyboard does not reach %q, only %v", want, reached)
		}
	}
	b.do(chromedp.Focus(`[data-view=explore]`), chromedp.KeyEvent("\r"))
	b.wait("the explorer, by Enter", `location.hash === "#/explore" && !document.querySelector("#explore").hidden`)
	if got := eval[string](b, `document.title`); !strings.Contains(got, "east/east-hub-1") {
		t.Errorf("the title is %q", got)
	}
}
