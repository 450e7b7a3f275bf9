package broker

import (
	"encoding/base64"
	"encoding/hex"
	"net/http"
	"net/url"
	"slices"
	"strconv"
	"strings"

	"github.com/hapaxmq/hapax/broker/code"
	"github.com/hapaxmq/hapax/broker/unique"
)

// asked is which id somebody asks about.
type asked struct {
	view  IDView // that says so
	query url.Values
	parts []string // of the id, and the scope, as they are in records
	scope string
}

func readAsked(r *http.Request) (q asked, err error) {
	q.query = r.URL.Query()
	q.parts = slices.Clone(q.query["part"])
	if id := r.PathValue("id"); id != "" {
		q.parts = append([]string{id}, q.parts...)
	}
	if len(q.parts) == 0 {
		return q, refuse(code.InvalidRequest, "no id: want …/ids/ID, or …/ids?part=A&part=B for one of several parts")
	}
	q.scope = q.query.Get("scope")
	q.view = IDView{Topic: r.PathValue("topic"), ID: slices.Clone(q.parts), Encoding: q.query.Get("encoding"), Scope: q.scope}
	err = q.decode()
	return q, err
}

// decode makes bytes of the id and the scope, where they are encoded: they may be any.
func (q *asked) decode() error {
	var decode func(string) ([]byte, error)
	switch q.view.Encoding {
	case "":
		return nil
	case "hex":
		decode = hex.DecodeString
	case "base64":
		decode = base64.StdEncoding.DecodeString
	default:
		return refuse(code.InvalidRequest, "encoding %q: want hex or base64; without it ids are text", q.view.Encoding)
	}
	encoded := []*string{&q.scope}
	for i := range q.parts {
		encoded = append(encoded, &q.parts[i])
	}
	for _, text := range encoded {
		b, err := decode(*text)
		if err != nil {
			return refuse(code.InvalidRequest, "%q is not %s: %v", *text, q.view.Encoding, err)
		}
		*text = string(b)
	}
	return nil
}

// fingerprints are those of the id in a topic, within the partition or the scope that
// is named.
func (q *asked) fingerprints(t *topic, namer *unique.Namer) ([]unique.Named, error) {
	scope, number := t.rules.window.Scope, int64(0)
	needed := within(scope)
	for _, name := range []string{"partition", "scope"} {
		switch given := q.query.Has(name); {
		case given && needed != name:
			return nil, refuse(code.InvalidRequest, "%s is of no account: %s=%v of topic %q", name, unique.SettingScope, scope, t.name)
		case !given && needed == name:
			return nil, refuse(code.InvalidRequest, "say within which %s: %s=%v of topic %q; hapax why has --%[1]s for it, and the address ?%[1]s=", name, unique.SettingScope, scope, t.name)
		}
	}
	if needed == "partition" {
		var err error
		number, err = strconv.ParseInt(q.query.Get("partition"), 10, 32)
		if err != nil || number < 0 || number >= int64(len(t.partitions)) {
			return nil, refuse(code.InvalidRequest, "partition %q: topic %q has those from 0 to %d", q.query.Get("partition"), t.name, len(t.partitions)-1)
		}
	}
	all, err := namer.Fingerprints(int32(number), q.scope, q.parts...)
	if err != nil {
		return nil, refuse(code.InvalidRequest, "id %s of topic %q, %s=%v: %v", quoted(q.view.ID), t.name, unique.SettingIdentity, t.rules.window.Identity, err)
	}
	return all, nil
}

// quoted are the parts of an id.
func quoted(parts []string) string {
	all := make([]string, len(parts))
	for i, part := range parts {
		all[i] = strconv.Quote(part)
	}
	return strings.Join(all, " + ")
}

// within is what an id is named within, beside its topic: "partition", "scope" (what
// records have in common), or "".
func within(s unique.Scope) string {
	switch s.String() {
	case "topic":
		return ""
	case "partition":
		return "partition"
	}
	return "scope"
}
