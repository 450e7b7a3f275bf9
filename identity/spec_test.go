package identity

import (
	"strings"
	"testing"

	"pgregory.net/rapid"
)

func TestParse(t *testing.T) {
	tests := []struct{ spec, canonical string }{
		{"line", ""},
		{"key", ""},
		{"header:Nats-Msg-Id", ""},
		{"header:x.id", ""},
		{`header:a\.b`, "header:a.b"},
		{`header:a\,b`, ""},
		{`header:a\+b\|c\\d:e`, ""},
		{"json:id", ""},
		{"json:a.b.0.c", ""},
		{"json:user,text", ""},
		{`json:a\.b\,c\+d\|e\\f`, ""},
		{`json:\i\d`, "json:id"},
		{"json:a:b", ""},
		{"cloudevents", ""},
		{"content", ""},
		{"content:-sent_at,trace.id", ""},
		{"content:+user,text", ""},
		{"content:+a+key", ""},
		{"key+content:+a,b|content:+c+line", ""},
		{"sequence:producer,seq", ""},
		{"sequence:producer,seq,epoch", ""},
		{"header:tenant+json:id", ""},
		{"json:id|content", ""},
		{"json:id|header:id+key|line", ""},
	}
	for _, tt := range tests {
		if tt.canonical == "" {
			tt.canonical = tt.spec
		}
		x, err := Parse(tt.spec)
		if err != nil {
			t.Errorf("Parse(%q): %v", tt.spec, err)
			continue
		}
		if got := x.String(); got != tt.canonical {
			t.Errorf("Parse(%q).String() = %q, want %q", tt.spec, got, tt.canonical)
		}
	}
}

func TestParseErrors(t *testing.T) {
	tests := []struct{ spec, want string }{
		{"", "it is empty: want line, key, header:NAME, json:PATH"},
		{"jsn:id", `"jsn:id": no such kind: want line, key, header:NAME, json:PATH[,PATH…], cloudevents`},
		{"line:x", `"line:x": no such kind`},
		{"key|", "nothing stands on one side of a + or |"},
		{"key+", "nothing stands on one side of a + or |"},
		{"json", `"json": no such kind`},
		{"content:id", `"content:id": no such kind`},
		{"content:", `"content:": no such kind`},
		{"content:+", `"content:+": path is empty`},
		{"header:", `"header:": the header's name is empty`},
		{"header:id,x", `"header:id,x": want one header: join several by +, as in header:a+header:b, or name one to fall back on by |`},
		{"key|header:id,header:x", `"header:id,header:x": want one header: join several by +`},
		{"json:", `"json:": path is empty`},
		{"json:", `identity "json:": path is empty`},
		{"line|json:", `identity "line|json:": `},
		{"json:a,", `"json:a,": path is empty`},
		{"json:a..b", `path "a..b": a name is empty`},
		{"json:.a", `path ".a": a name is empty`},
		{`json:a\`, `path "a\\": nothing behind the last backslash`},
		{`header:a\`, "nothing behind the last backslash"},
		{"json:a,b,a", `path "a" is named twice`},
		{`json:a,\a`, "named twice"},
		{"sequence:a", "1 paths: want sequence:PRODUCER_PATH"},
		{"sequence:a,b,c,d", "4 paths: want sequence:PRODUCER_PATH"},
		{"sequence:a,b|content", `"sequence:a,b" stands alone`},
		{"key+sequence:a,b", `"sequence:a,b" stands alone`},
		{"line|key", `"key" is never reached`},
		{"content|json:id", `"json:id" is never reached`},
		{"json:\xff", "not valid UTF-8"},
		{"json:" + strings.Repeat("a,", maxSpec), "want at most 4096"},
		{"json:a,b,c,d,e,f,g,h,i,j,k,l,m,n,o,p,q", "17 paths: want at most 16"},
		{strings.Repeat("key|", 8) + "key", "9 alternatives: want at most 8"},
		{strings.Repeat("key+", 16) + "key", "17 parts: want at most 16"},
		{"json:a" + strings.Repeat(".a", 600), "path of 601 names: want at most 512"},
	}
	for _, tt := range tests {
		_, err := Parse(tt.spec)
		if err == nil || !strings.Contains(err.Error(), tt.want) || !strings.HasPrefix(err.Error(), "identity ") {
			t.Errorf("Parse(%.50q) = %v, want …%s…", tt.spec, err, tt.want)
		}
	}
}

func TestParseAnyName(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		path := rapid.SliceOfN(rapid.StringN(1, 8, 16), 1, 4).Draw(t, "path")
		spec := "json:" + paths{list: [][]string{path}}.path(0)
		x, err := Parse(spec + "|" + spec)
		if err != nil {
			t.Fatal(err)
		}
		got := x.alternatives[1][0].paths.list[0]
		if strings.Join(got, "\x00") != strings.Join(path, "\x00") {
			t.Fatalf("Parse(%q) = %q, want %q", spec, got, path)
		}
	})
}

func TestNeedsJSON(t *testing.T) {
	for spec, want := range map[string]bool{
		"line": false, "key": false, "header:x": false, "content": false, "key|content": false,
		"json:id": true, "cloudevents": true, "content:-a": true, "content:+a": true,
		"sequence:a,b": true, "key|json:id": true, "key+json:id": true,
	} {
		if got := mustParse(t, spec).NeedsJSON(); got != want {
			t.Errorf("%s: NeedsJSON() = %v, want %v", spec, got, want)
		}
	}
}

func TestNeedsEnvelope(t *testing.T) {
	for spec, want := range map[string]bool{
		"line": false, "json:id": false, "key|json:id": false, "json:key": false, "content": false,
		"key": true, "header:x": true, "key+json:id": true, "header:x|key": true, "json:id+header:x": true,
	} {
		if got := mustParse(t, spec).NeedsEnvelope(); got != want {
			t.Errorf("%s: NeedsEnvelope() = %v, want %v", spec, got, want)
		}
	}
}

func TestMissingPolicy(t *testing.T) {
	for p := ErrorOnMissing; p <= PassOnMissing; p++ {
		if got, err := ParseMissingPolicy(p.String()); got != p || err != nil {
			t.Errorf("ParseMissingPolicy(%q) = %v, %v", p, got, err)
		}
	}
	if _, err := ParseMissingPolicy("drop"); err == nil || !strings.Contains(err.Error(), "want error, content or pass") {
		t.Errorf(`ParseMissingPolicy("drop") = %v`, err)
	}
	if got := MissingPolicy(9).String(); got != "MissingPolicy(9)" {
		t.Error(got)
	}
}

func mustParse(tb testing.TB, spec string) *Extractor {
	tb.Helper()
	x, err := Parse(spec)
	if err != nil {
		tb.Fatal(err)
	}
	return x
}

func FuzzParse(f *testing.F) {
	for _, spec := range []string{
		"line", "key|content", "header:a\\|b+json:a.b,c\\.d", "content:-a,b", "content:+a+key",
		"sequence:a,b,c", "cloudevents|json:id", "content:+", "json:\\", "a:b|c+d",
	} {
		f.Add(spec)
	}
	f.Fuzz(func(t *testing.T, spec string) {
		x, err := Parse(spec)
		if err != nil {
			return
		}
		again, err := Parse(x.String())
		if err != nil {
			t.Fatalf("Parse(%q).String() = %q: %v", spec, x, err)
		}
		if again.String() != x.String() {
			t.Fatalf("Parse(%q).String() = %q, then %q", spec, x, again)
		}
	})
}
