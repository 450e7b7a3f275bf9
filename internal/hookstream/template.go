package hookstream

import (
	"bytes"
	"fmt"
	"regexp"
	"strings"
	"time"
)

// kind says what a varied part of a payload is, and so what may stand there.
type kind uint8

const (
	number   kind = iota // a decimal id
	unixTime             // seconds since 1970
	isoTime              // 2006-01-02T15:04:05, the zone behind it is kept
	hexHash              // a commit, tree or file hash
	nodeID               // letters and digits
	advisory             // GHSA-xxxx-xxxx-xxxx without the GHSA-
	login                // a user's or organisation's name
)

// part is one thing that varies in a payload, and every place that names it:
// a commit's hash is in its own field and in a dozen addresses.
type part struct {
	kind  kind
	width int
	age   int64 // of times: seconds before the payload's latest
	at    []int
}

// template is a payload, ready to be varied. All parts keep their width, so
// that a message is made by writing over the last one.
type template struct {
	event  string
	body   []byte
	fields []extent // the top-level fields, for writing them in another order
	parts  []part
	serial int // the part that alone makes each message unique
}

var (
	isoPattern      = regexp.MustCompile(`\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d`)
	hexPattern      = regexp.MustCompile(`\b[0-9a-f]{40,128}\b`)
	advisoryPattern = regexp.MustCompile(`GHSA-([0-9a-z]{4}-[0-9a-z]{4}-[0-9a-z]{4})`)
	digitsPattern   = regexp.MustCompile(`\b\d{5,19}\b`)
)

// serialWidth is how many characters a unique part needs: 48 bits in base 36,
// 12 characters in hexadecimal.
const serialWidth = 10

func newTemplate(p Payload) (*template, error) {
	values, fields, err := scan(p.Body)
	if err != nil {
		return nil, fmt.Errorf("%s: %w", p.Event, err)
	}
	f := finder{body: p.Body, taken: make([]bool, len(p.Body)), known: map[string]int{}}
	f.findOwn(values)
	f.findMentions(values)
	f.datePartsBack()
	t := &template{event: p.Event, body: bytes.Clone(p.Body), fields: fields, parts: f.parts, serial: -1}
	for i, part := range t.parts {
		switch {
		case t.serial >= 0:
		case part.kind == hexHash, part.kind == advisory, part.kind == nodeID && part.width >= serialWidth:
			t.serial = i
		}
	}
	if t.serial < 0 {
		return nil, fmt.Errorf("%s: payload has no hash or node id that could make it unique", p.Event)
	}
	return t, nil
}

// finder collects the parts of one body.
type finder struct {
	body  []byte
	taken []bool // bytes that belong to a part
	parts []part
	known map[string]int // kind and original text → part
}

// add notes that body[start:end] is a part, unless it is empty, all zeros (the
// hash that means none), or some of it already is a part.
func (f *finder) add(k kind, start, end int) {
	if len(bytes.Trim(f.body[start:end], "0")) == 0 {
		return
	}
	for i := start; i < end; i++ {
		if f.taken[i] {
			return
		}
	}
	name := string(rune('0'+k)) + string(f.body[start:end])
	i, ok := f.known[name]
	if !ok {
		i = len(f.parts)
		f.known[name] = i
		f.parts = append(f.parts, part{kind: k, width: end - start})
	}
	f.parts[i].at = append(f.parts[i].at, start)
	for i := start; i < end; i++ {
		f.taken[i] = true
	}
}

// findOwn finds the parts that a field's name or their own look give away.
func (f *finder) findOwn(values []token) {
	for _, v := range values {
		text := f.body[v.start:v.end]
		width := len(text)
		switch {
		case v.number && width == 10 && strings.HasSuffix(v.field, "_at"):
			f.add(unixTime, v.start, v.end)
		case v.number && (v.field == "id" || v.field == "number" || strings.HasSuffix(v.field, "_id")):
			if text[0] >= '1' && text[0] <= '9' && width <= 18 && bytes.IndexByte(text, '.') < 0 {
				f.add(number, v.start, v.end)
			}
		case v.number:
		case v.field == "node_id" && bytes.IndexByte(text, '\\') < 0:
			f.add(nodeID, v.start, v.start+len(bytes.TrimRight(text, "=")))
		case v.field == "login":
			f.add(login, v.start, v.end)
		default:
			f.findLooks(isoTime, isoPattern, v)
			f.findLooks(hexHash, hexPattern, v)
			f.findLooks(advisory, advisoryPattern, v)
		}
	}
}

func (f *finder) findLooks(k kind, pattern *regexp.Regexp, v token) {
	for _, at := range pattern.FindAllSubmatchIndex(f.body[v.start:v.end], -1) {
		f.add(k, v.start+at[len(at)-2], v.start+at[len(at)-1])
	}
}

// findMentions finds, inside addresses and texts, the ids and logins that have
// a field of their own elsewhere.
func (f *finder) findMentions(values []token) {
	var logins []string
	for _, p := range f.parts {
		if p.kind == login {
			logins = append(logins, string(f.body[p.at[0]:p.at[0]+p.width]))
		}
	}
	for _, v := range values {
		if v.number {
			continue
		}
		text := f.body[v.start:v.end]
		for _, at := range digitsPattern.FindAllIndex(text, -1) {
			if _, ok := f.known[string(rune('0'+number))+string(text[at[0]:at[1]])]; ok {
				f.add(number, v.start+at[0], v.start+at[1])
			}
		}
		for _, name := range logins {
			for from := 0; ; {
				i := bytes.Index(text[from:], []byte(name))
				if i < 0 {
					break
				}
				start, end := from+i, from+i+len(name)
				if border(text, start-1) && border(text, end) {
					f.add(login, v.start+start, v.start+end)
				}
				from = end
			}
		}
	}
}

// border reports whether text[i] may stand beside a login. A dot may not:
// "github" in "api.github.com" is not the user of that name.
func border(text []byte, i int) bool {
	return i < 0 || i >= len(text) || strings.IndexByte(`/@+ ,:?&"`, text[i]) >= 0
}

// datePartsBack sets how long before the latest time of the body each other
// time was, so that a varied message keeps the distances.
func (f *finder) datePartsBack() {
	const never = -1 << 62
	latest := int64(never)
	for i := range f.parts {
		p := &f.parts[i]
		text := string(f.body[p.at[0] : p.at[0]+p.width])
		switch p.kind {
		case isoTime:
			at, err := time.Parse("2006-01-02T15:04:05", text)
			if err != nil {
				p.kind = number // looks like a time and is none: any digits will do
				p.width = 4
				continue
			}
			p.age = at.Unix()
		case unixTime:
			p.age = parseDigits(text)
		default:
			continue
		}
		latest = max(latest, p.age)
	}
	for i := range f.parts {
		if p := &f.parts[i]; p.kind == isoTime || p.kind == unixTime {
			p.age = latest - p.age
		}
	}
}

func parseDigits(s string) (n int64) {
	for _, c := range []byte(s) {
		n = 10*n + int64(c-'0')
	}
	return n
}
