package identity

import (
	"slices"
	"strings"
	"testing"

	"github.com/hapaxmq/hapax"
)

// TestTyped: an id typed in its parts is that of each message that has them, by each
// alternative that is made of so many.
func TestTyped(t *testing.T) {
	event := &hapax.Message{Headers: []hapax.Header{{Name: "ce_source", Value: []byte("/s")}, {Name: "ce_id", Value: []byte("7")}}}
	keyed := func(k string) *hapax.Message { return &hapax.Message{Key: []byte(k), Value: []byte("no JSON")} }
	both := &hapax.Message{Key: []byte("k"), Headers: []hapax.Header{{Name: "a", Value: []byte("v")}}, Value: []byte(`{"b":{"c":"x","d":8}}`)}
	for _, tt := range []struct {
		spec  string
		texts []string
		as    []string
		of    []*hapax.Message
	}{
		{"header:a", []string{"v"}, []string{""}, []*hapax.Message{both}},
		{"header:a+key", []string{"v", "k"}, []string{""}, []*hapax.Message{both}},
		{"key+json:b.c,b.d+header:a", []string{"k", "x", "8", "v"}, []string{""}, []*hapax.Message{both}},
		{"header:a|key", []string{"v"}, []string{"header:a", "key"}, []*hapax.Message{both, keyed("v")}},
		{"json:b.c|header:z|key", []string{"x"}, []string{"json:b.c", "header:z", "key"}, []*hapax.Message{both, {Headers: []hapax.Header{{Name: "z", Value: []byte("x")}}, Value: []byte("{}")}, {Key: []byte("x"), Value: []byte("{}")}}},
		{"json:b.c,b.d|header:a+key|key", []string{"x", "8"}, []string{"json:b.c,b.d", "header:a+key"}, []*hapax.Message{both, {Key: []byte("8"), Headers: []hapax.Header{{Name: "a", Value: []byte("x")}}, Value: []byte("{}")}}},
		{"json:b.c,b.d|header:a+key|key", []string{"k"}, []string{"key"}, []*hapax.Message{{Key: []byte("k"), Value: []byte("{}")}}},
		{"header:a|key", []string{"\xff"}, []string{"header:a", "key"}, []*hapax.Message{{Headers: []hapax.Header{{Name: "a", Value: []byte("\xff")}}}, keyed("\xff")}},
		{"json:id|key", []string{"\xff"}, []string{"key"}, []*hapax.Message{{Key: []byte("\xff"), Value: []byte("{}")}}},
		{"cloudevents", []string{"/s", "7"}, []string{""}, []*hapax.Message{event}},
		{"cloudevents", []string{`{"id":"7","source":"/s"}`}, []string{""}, []*hapax.Message{event}},
		{"key+content", []string{"k", `{"b":{"d":8,"c":"x"}}`}, []string{""}, []*hapax.Message{both}},
		{"content:-x|key", []string{`{"b":{"c":"x","d":8},"x":1}`}, []string{"content:-x", "key"}, []*hapax.Message{both, keyed("")}},
		{"json:b.c,b.d", []string{`{"b":{"c":"x","d":8}}`}, []string{""}, []*hapax.Message{both}},
		{"json:b.c+json:b.d|key+key", []string{`{"b":{"c":"x","d":8}}`}, []string{""}, []*hapax.Message{both}},
	} {
		x := mustParse(t, tt.spec)
		got, err := x.Typed(tt.texts...)
		if err != nil || len(got) != len(tt.as) {
			t.Errorf("%s: Typed(%q) = %q, %v", tt.spec, tt.texts, got, err)
			continue
		}
		for i, as := range tt.as {
			if got[i].As != as {
				t.Errorf("%s: Typed(%q)[%d] is as %s, want %s", tt.spec, tt.texts, i, got[i].As, as)
			}
			if tt.spec == "content:-x|key" && i == 1 {
				continue // no message has that key, and no such content
			}
			if want, err := x.Append(nil, tt.of[i]); err != nil || !slices.Equal(got[i].ID, want) {
				t.Errorf("%s: Typed(%q)[%d] = %q, want %q: %v", tt.spec, tt.texts, i, got[i].ID, want, err)
			}
		}
	}
}

// Who types too few texts, too many or none that can be is told what to type.
func TestTypedAmiss(t *testing.T) {
	for _, tt := range []struct {
		spec  string
		texts []string
		want  string
	}{
		{"header:a+key", []string{"v"}, "want header:a and key, each by itself"},
		{"header:a", []string{"v", "k"}, "want header:a"},
		{"header:a|json:b,c", nil, "want header:a, or json:b and json:c, each by itself"},
		{"json:a,b", []string{"7"}, "want json:a and json:b, each by itself; or the whole value: hapax: message has no identity"},
		{"json:a", []string{"null"}, "its JSON has nothing at"},
		{"header:a", []string{""}, `it has no header "a"`},
		{"cloudevents", []string{"/s", ""}, "the CloudEvent has no id"},
		{"json:a,b", []string{"7", "x\xff"}, "malformed"},
	} {
		got, err := mustParse(t, tt.spec).Typed(tt.texts...)
		if err == nil || !strings.Contains(err.Error(), tt.want) {
			t.Errorf("%s: Typed(%q) = %q, %v, want …%s…", tt.spec, tt.texts, got, err, tt.want)
		}
	}
}
