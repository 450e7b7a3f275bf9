package broker

import (
	"fmt"
	"strings"
	"time"

	"github.com/hapaxmq/hapax"
	"github.com/hapaxmq/hapax/broker/unique"
)

// anewFor is why a topic's window does not go on as its settings change, but begins
// anew: see goesOn. It is "" where there was none before.
func anewFor(was, is *unique.Rules) string {
	if was == nil || goesOn(was, is) {
		return ""
	}
	var all []string
	changed := func(name string, yes bool) {
		if yes {
			all = append(all, name+" was changed")
		}
	}
	changed(unique.SettingIdentity, was.Identity.String() != is.Identity.String())
	changed(unique.SettingScope, was.Scope.String() != is.Scope.String())
	changed(unique.SettingWindowKind, was.Window.Kind != is.Window.Kind)
	if was.Window.Kind != hapax.Tumbling || is.Window.Kind != hapax.Tumbling {
		return strings.Join(all, " and ") // other bounds would not be a reason
	}
	for _, bound := range []struct {
		name    string
		was, is int64
	}{
		{unique.SettingWindowMs, int64(was.Window.Time), int64(is.Window.Time)},
		{unique.SettingWindowCount, was.Window.Count, is.Window.Count},
		{unique.SettingWindowBytes, was.Window.Bytes, is.Window.Bytes},
	} {
		switch {
		case bound.was == 0 && bound.is != 0:
			all = append(all, bound.name+" was added")
		case bound.was != 0 && bound.is == 0:
			all = append(all, bound.name+" was removed")
		default:
			changed(bound.name, bound.was != bound.is)
		}
	}
	return strings.Join(all, " and ")
}

// begunAnew warns that a topic's window took the place of another.
func (in windowFiles) begunAnew(t *topic) {
	in.log.Warn("the topic's window begins anew, for what it knew is worth nothing with its new settings: copies pass until it has read the topic's records, and ids whose records are deleted are forgotten",
		"topic", t.name, "because", t.window.because)
}

// anewText says since when a window has been what it is, and why, if it took the place
// of another.
func (w *window) anewText(shadow bool) string {
	if w.because == "" {
		return ""
	}
	text := fmt.Sprintf("; begun anew at %s because %s", time.UnixMilli(w.begun).UTC().Format(time.RFC3339), w.because)
	switch {
	case shadow: // in which copies always pass
		return text
	case w.enforced.Load():
		return text + "; copies passed until it was warm"
	}
	return text + "; copies pass until it is warm"
}
