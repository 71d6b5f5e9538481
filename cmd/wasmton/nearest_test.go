package main

import (
	"testing"

	"pgregory.net/rapid"
)

func TestNearest(t *testing.T) {
	candidates := []string{"group", "from", "dir", "session.timeout.ms", "inspect"}
	for word, want := range map[string]string{
		"gruop":             "group",
		"groups":            "group",
		"form":              "from",
		"inpsect":           "inspect",
		"session.timeot.ms": "session.timeout.ms",
		"timeout":           "",
		"x":                 "",
		"":                  "",
		"inspect":           "inspect",
	} {
		if got := nearest(word, candidates); got != want {
			t.Errorf("%q: %q, want %q", word, got, want)
		}
	}
}

// slowDistance is editDistance by its definition.
func slowDistance(a, b string) int {
	if a == "" || b == "" {
		return len(a) + len(b)
	}
	x, y := a[len(a)-1], b[len(b)-1]
	d := slowDistance(a[:len(a)-1], b[:len(b)-1])
	if x != y {
		d++
	}
	d = min(d, slowDistance(a[:len(a)-1], b)+1, slowDistance(a, b[:len(b)-1])+1)
	if len(a) > 1 && len(b) > 1 && x == b[len(b)-2] && y == a[len(a)-2] {
		d = min(d, slowDistance(a[:len(a)-2], b[:len(b)-2])+1)
	}
	return d
}

func TestEditDistanceIsWhatItsDefinitionSays(t *testing.T) {
	word := rapid.StringMatching(`[abc]{0,6}`)
	rapid.Check(t, func(t *rapid.T) {
		a, b := word.Draw(t, "a"), word.Draw(t, "b")
		if got, want := editDistance(a, b), slowDistance(a, b); got != want {
			t.Fatalf("%q to %q: %d, want %d", a, b, got, want)
		}
	})
}
