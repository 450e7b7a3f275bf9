package clients

import (
	"fmt"

	"github.com/twmb/franz-go/pkg/kgo"
)

// The records of an event, by what names them. Who has none of a kind gives nil.

func named(id, value string) *kgo.Record {
	return &kgo.Record{Value: []byte(value), Headers: []kgo.RecordHeader{{Key: "id", Value: []byte(id)}}}
}

// valueOf is another one for a conflict.
func valueOf(event int, k kind) string {
	if k == conflict {
		return fmt.Sprint("another value of ", event)
	}
	return fmt.Sprint("the value of ", event)
}

func byHeader(event int, k kind) *kgo.Record {
	switch k {
	case elsewhere:
		return nil
	case unnamed:
		return &kgo.Record{Value: []byte("no id")}
	}
	return named(fmt.Sprint(event), valueOf(event, k))
}

// without leaves a kind out.
func without(left kind) func(int, kind) *kgo.Record {
	return func(event int, k kind) *kgo.Record {
		if k == left {
			return nil
		}
		return byHeader(event, k)
	}
}

func byPartition(event int, k kind) *kgo.Record {
	if k == elsewhere {
		k = again
	}
	return byHeader(event, k)
}

func byKey(event int, k kind) *kgo.Record {
	r := byHeader(event, k)
	if r != nil && k != unnamed {
		r.Key, r.Headers = fmt.Append(nil, event), nil
	}
	return r
}

// byBoth is one key for all, and another id, or the other way round.
func byBoth(event int, k kind) *kgo.Record {
	r := byHeader(event/2, k)
	if r == nil {
		return nil
	}
	r.Key, r.Value = fmt.Append(nil, "k", event%2), []byte(valueOf(event, k))
	return r
}

func byEither(event int, k kind) *kgo.Record {
	if event%2 == 0 {
		return byHeader(event, k)
	}
	return byKey(event, k)
}

func byValue(event int, k kind) *kgo.Record {
	switch k {
	case fresh:
		return &kgo.Record{Value: fmt.Appendf(nil, `{"event":%d,"of":["a","b"]}`, event)}
	case again:
		return &kgo.Record{Value: fmt.Appendf(nil, `{ "of": ["a", "b"], "event": %d }`, event)}
	}
	return nil
}

func byJSON(event int, k kind) *kgo.Record {
	value := `{"order":{"id":%d},"line":1,"text":"a"}`
	switch k {
	case again:
		value = `{ "text": "a", "line": 1, "order": {"id": %d} }`
	case conflict:
		value = `{"order":{"id":%d},"line":1,"text":"b"}`
	case unnamed:
		value = `{"order":{"no":%d},"line":1,"text":"a"}`
	case elsewhere:
		return nil
	}
	return &kgo.Record{Value: fmt.Appendf(nil, value, event)}
}

// byAttributes is a CloudEvent whose attributes are headers.
func byAttributes(event int, k kind) *kgo.Record {
	r := byHeader(event, k)
	if r == nil || k == unnamed {
		return r
	}
	r.Headers = nil
	for _, a := range [][2]string{{"specversion", "1.0"}, {"type", "t"}, {"source", "/shop"}, {"id", fmt.Sprint(event)}} {
		r.Headers = append(r.Headers, kgo.RecordHeader{Key: "ce_" + a[0], Value: []byte(a[1])})
	}
	return r
}

// byEvent is a CloudEvent whose attributes are in its value.
func byEvent(event int, k kind) *kgo.Record {
	r := byHeader(event, k)
	if r == nil || k == unnamed {
		return r
	}
	r.Headers = []kgo.RecordHeader{{Key: "content-type", Value: []byte("application/cloudevents+json; charset=UTF-8")}}
	r.Value = fmt.Appendf(nil, `{"specversion":"1.0","type":"t","source":"/shop","id":"%d","data":%q}`, event, r.Value)
	return r
}

func byTenant(event int, k kind) *kgo.Record {
	r, tenant := byPartition(event, k), "one"
	if k == elsewhere {
		tenant = "other"
	}
	r.Headers = append(r.Headers, kgo.RecordHeader{Key: "tenant", Value: []byte(tenant)})
	return r
}

func byTenantInside(event int, k kind) *kgo.Record {
	r, tenant := byPartition(event, k), "one"
	if k == elsewhere {
		tenant = "other"
	}
	r.Value = fmt.Appendf(nil, `{"tenant":%q,"is":%q}`, tenant, r.Value)
	return r
}
