package shape

import (
	"errors"
	"math"
	"math/rand/v2"
	"reflect"
	"slices"
	"testing"
	"time"

	"github.com/twmb/franz-go/pkg/kmsg"
)

// lastKey is above those of all requests that kmsg knows.
const lastKey = 100

// each calls f with every version of every request.
func each(f func(key, version int16)) {
	for key := range int16(lastKey) {
		if req := kmsg.RequestForKey(key); req != nil {
			for version := int16(0); version <= req.MaxVersion(); version++ {
				f(key, version)
			}
		}
	}
}

// fill sets everything in a value, at random. Structures in tags stay as they are.
func fill(r *rand.Rand, v reflect.Value) {
	switch v.Kind() {
	case reflect.Bool:
		v.SetBool(r.IntN(2) == 0)
	case reflect.Int8, reflect.Int16, reflect.Int32, reflect.Int64:
		v.SetInt(int64(r.Uint64()))
	case reflect.Uint8, reflect.Uint16, reflect.Uint32, reflect.Uint64:
		v.SetUint(r.Uint64())
	case reflect.Float64:
		v.SetFloat(r.Float64())
	case reflect.String:
		v.SetString("some text that is longer than others"[:r.IntN(30)])
	case reflect.Array:
		v.Index(r.IntN(v.Len())).SetUint(uint64(r.IntN(256)))
	case reflect.Pointer:
		if r.IntN(2) == 0 {
			v.Set(reflect.New(v.Type().Elem()))
			fill(r, v.Elem())
		}
	case reflect.Slice:
		v.Set(reflect.MakeSlice(v.Type(), r.IntN(4), 4))
		for i := range v.Len() {
			setDefault(v.Index(i))
			fill(r, v.Index(i))
		}
	case reflect.Struct:
		for i := range v.NumField() {
			if name := v.Type().Field(i).Name; name != "UnknownTags" && name != "ReplicaState" {
				fill(r, v.Field(i))
			}
		}
	}
}

// Every request that kmsg encodes passes, is walked over to its end, and with any
// byte cut off does not pass.
func TestEveryRequest(t *testing.T) {
	r := rand.New(rand.NewPCG(1, 2))
	each(func(key, version int16) {
		s := Of(key, version)
		for range 20 {
			req := kmsg.RequestForKey(key)
			fill(r, reflect.ValueOf(req).Elem())
			req.SetVersion(version)
			b := req.AppendTo(nil)
			w := walk{rest: b, flexible: s.flexible}
			if w.over(&s.body); w.err != nil || len(w.rest) > 0 {
				t.Fatalf("%s, version %d: %d of %d bytes are left: %v\n%+v", kmsg.NameForKey(key), version, len(w.rest), len(b), w.err, req)
			}
			if len(b) > 0 {
				if err := s.Check(b[:r.IntN(len(b))]); !errors.Is(err, ErrShape) {
					t.Fatalf("%s, version %d: a part passes: %v", kmsg.NameForKey(key), version, err)
				}
			}
		}
	})
}

// What passes is decoded in no time, whatever bytes are in the way.
func TestWhatPassesIsCheap(t *testing.T) {
	r := rand.New(rand.NewPCG(3, 4))
	each(func(key, version int16) {
		s := Of(key, version)
		for range 20 {
			req := kmsg.RequestForKey(key)
			fill(r, reflect.ValueOf(req).Elem())
			req.SetVersion(version)
			b := req.AppendTo(nil)
			for n := min(len(b), 1+r.IntN(6)); n > 0; n-- {
				b[r.IntN(len(b))] = []byte{0, 1, 0x7f, 0x80, 0xfe, 0xff, byte(r.IntN(256))}[r.IntN(7)]
			}
			if at := r.IntN(len(b) + 1); r.IntN(2) == 0 {
				b = slices.Concat(b[:at], []byte{0xff, 0xff, 0xff, 0xff, 0x0f}, b[at:]) // the largest count
			}
			if s.Check(b) != nil {
				continue
			}
			req = kmsg.RequestForKey(key)
			req.SetVersion(version)
			start := time.Now()
			_ = req.ReadFrom(b) // what is wrong beyond its shape
			if took := time.Since(start); took > 5*time.Second {
				t.Fatalf("%s, version %d: %x took %v", kmsg.NameForKey(key), version, b, took)
			}
		}
	})
}

func TestCheckRefuses(t *testing.T) {
	huge := []byte{0xff, 0xff, 0xff, 0xff, 0x0f} // the largest count
	for name, test := range map[string]struct {
		key, version int16
		body         []byte
	}{
		"four billion tags":                        {18, 3, append([]byte{2, 'x', 2, 'y'}, huge...)},
		"tags in an element":                       {3, 12, append([]byte{2, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 2, 'x'}, huge...)},
		"more elements than bytes":                 {3, 12, append([]byte{200, 1}, make([]byte, 300)...)},
		"a string beyond the end":                  {18, 3, []byte{9, 'x'}},
		"a count of too many bytes":                {18, 3, []byte{0xff, 0xff, 0xff, 0xff, 0xff, 1}},
		"elements in a request without tags":       {3, 1, []byte{0x7f, 0xff, 0xff, 0xff, 0, 0}},
		"a structure in the tags (of replicas)":    {1, 15, append(fetch15(), 1, 1, 5, 0xff, 0xff, 0xff, 0xff, 0x0f)},
		"many tags, small as they are":             {18, 3, append([]byte{1, 1, 0xac, 2}, make([]byte, 600)...)},
		"elements that take more than their bytes": {0, 9, many()},
	} {
		t.Run(name, func(t *testing.T) {
			if err := Of(test.key, test.version).Check(test.body); !errors.Is(err, ErrShape) {
				t.Errorf("%v", err)
			}
		})
	}
}

// fetch15 is a Fetch without what follows it in tags.
func fetch15() []byte {
	req := kmsg.NewPtrFetchRequest()
	req.Version = 15
	b := req.AppendTo(nil)
	return b[:len(b)-1]
}

// many is a Produce of so many topics without a name or partitions that each byte
// becomes twenty.
func many() []byte {
	const topics = 4 << 20
	b := []byte{0, 0xff, 0xff, 0, 0, 0, 0}
	for n := uint32(topics + 1); ; n >>= 7 {
		if n < 0x80 {
			b = append(b, byte(n))
			break
		}
		b = append(b, byte(n)|0x80)
	}
	for range topics {
		b = append(b, 1, 1, 0)
	}
	return append(b, 0)
}

// Null is no length.
func TestNull(t *testing.T) {
	for name, test := range map[string]struct {
		key, version int16
		body         []byte
	}{
		"an array":          {3, 1, []byte{0xff, 0xff, 0xff, 0xff}},
		"an array, shorter": {3, 12, []byte{0, 1, 0, 0}},
		"a string":          {22, 0, []byte{0xff, 0xff, 0, 0, 0, 1}},
	} {
		if err := Of(test.key, test.version).Check(test.body); err != nil {
			t.Errorf("%s: %v", name, err)
		}
	}
}

// A decoded request takes a small multiple of its frame, by its structures.
func TestMemoryOfElements(t *testing.T) {
	worst := 0.0
	var over func(f *field)
	over = func(f *field) {
		for i := range f.parts {
			over(&f.parts[i])
		}
		if f.kind == array {
			worst = math.Max(worst, float64(f.parts[0].memory)/float64(f.parts[0].least))
		}
	}
	each(func(key, version int16) { over(&Of(key, version).body) })
	if t.Logf("%.0f bytes for each", worst); worst > 32 {
		t.Errorf("an element may take %.0f times its bytes", worst)
	}
}

func BenchmarkCheck(b *testing.B) {
	req := kmsg.NewPtrProduceRequest()
	topic := kmsg.NewProduceRequestTopic()
	topic.Topic = "orders"
	partition := kmsg.NewProduceRequestTopicPartition()
	partition.Records = make([]byte, 1000)
	topic.Partitions = append(topic.Partitions, partition)
	req.Topics = append(req.Topics, topic)
	req.Version = 11
	body := req.AppendTo(nil)
	s := Of(0, 11)
	for b.Loop() {
		if err := s.Check(body); err != nil {
			b.Fatal(err)
		}
	}
}

func BenchmarkOf(b *testing.B) {
	for b.Loop() {
		each(func(key, version int16) { Of(key, version) })
	}
}
