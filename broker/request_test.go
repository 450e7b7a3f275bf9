package broker

import (
	"bytes"
	"encoding/binary"
	"errors"
	"io"
	"runtime"
	"strings"
	"testing"
	"time"

	"github.com/twmb/franz-go/pkg/kmsg"
)

// frame is a request as it comes over a connection.
func frame(key, version int16, client string, flexible bool, body []byte) []byte {
	b := binary.BigEndian.AppendUint16(nil, uint16(key))
	b = binary.BigEndian.AppendUint16(b, uint16(version))
	b = binary.BigEndian.AppendUint32(b, 7)
	b = binary.BigEndian.AppendUint16(b, uint16(len(client)))
	b = append(b, client...)
	if flexible {
		b = append(b, 0)
	}
	b = append(b, body...)
	return append(binary.BigEndian.AppendUint32(nil, uint32(len(b))), b...)
}

// takes is a connection on which bytes have come, and no more do.
func takes(in []byte) *intake {
	return newIntake(bytes.NewReader(in), newMemory(-1, 100<<20), &patience{net: sink{}})
}

func TestReadRequest(t *testing.T) {
	req := kmsg.NewPtrMetadataRequest()
	req.Version = 12
	topic := kmsg.NewMetadataRequestTopic()
	topic.Topic = kmsg.StringPtr("orders")
	req.Topics = append(req.Topics, topic)
	in := frame(3, 12, "me", true, req.AppendTo(nil))
	r := takes(append(in, in...))
	for range 2 {
		f, err := r.request(t.Context(), 1<<20)
		if err != nil {
			t.Fatal(err)
		}
		h, rest, err := readHeader(f)
		if err != nil || h != (header{3, 12, 7, "me"}) {
			t.Fatal(h, err)
		}
		api := apis()[h.key]
		got, err := api.readRequest(h, rest)
		if err != nil || *got.(*kmsg.MetadataRequest).Topics[0].Topic != "orders" {
			t.Fatal(got, err)
		}
	}
	if _, err := r.request(t.Context(), 1<<20); !errors.Is(err, io.EOF) {
		t.Errorf("behind the last request: %v", err)
	}
}

func TestReadFrameRefuses(t *testing.T) {
	whole := frame(3, 1, "me", false, nil)
	for name, in := range map[string][]byte{
		"a size below a header's":    {0, 0, 0, 7},
		"no size":                    {0, 0, 0, 0},
		"a negative size":            {0xff, 0xff, 0xff, 0xff},
		"a size that is not allowed": {0, 0x10, 0, 1},
		"text":                       []byte("GET / HTTP/1.1\r\n\r\n"),
		"a frame cut off":            whole[:len(whole)-1],
		"a size cut off":             whole[:3],
	} {
		if _, err := takes(in).request(t.Context(), 1<<20); !errors.Is(err, errFrame) {
			t.Errorf("%s: %v", name, err)
		}
	}
}

// What is spoken instead is named, and a client that goes is no other protocol.
func TestReadFrameSaysWhy(t *testing.T) {
	for in, want := range map[string]string{
		"GET / HTTP/1.1\r\n":           "HTTP",
		"\x16\x03\x01\x02\x00\x01\x00": "TLS",
		"\x10\x00\x00\x00\x00\x00\x00": "268435456 bytes",
	} {
		if _, err := takes([]byte(in)).request(t.Context(), 1<<20); err == nil || !strings.Contains(err.Error(), want) || errors.Is(err, errCut) {
			t.Errorf("%q: %v", in, err)
		}
	}
	if _, err := takes([]byte{0, 0}).request(t.Context(), 1<<20); !errors.Is(err, errCut) {
		t.Error(err)
	}
}

// A size alone takes no memory, and what is no Produce may not be long.
func TestReadFrameTakesLittle(t *testing.T) {
	var before, after runtime.MemStats
	runtime.ReadMemStats(&before)
	for _, key := range []byte{0, 3} {
		if _, err := takes([]byte{6, 0, 0, 0, 0, key, 0, 0}).request(t.Context(), 100<<20); !errors.Is(err, errFrame) {
			t.Error(err)
		}
	}
	if _, err := takes(append([]byte{0, 0x50, 0, 0, 0, 3}, make([]byte, 6<<20)...)).request(t.Context(), 100<<20); !errors.Is(err, errFrame) {
		t.Errorf("a long request without records: %v", err)
	}
	runtime.ReadMemStats(&after)
	if n := after.TotalAlloc - before.TotalAlloc; n > 16<<20 {
		t.Errorf("%d bytes were taken", n)
	}
}

// A frame whose count of tags is larger than any frame costs nothing.
func TestHugeCountOfTags(t *testing.T) {
	n := start(t)
	w := n.wire()
	huge := []byte{0xff, 0xff, 0xff, 0xff, 0x0f}
	for _, in := range [][]byte{
		frame(18, 3, "", true, append([]byte{1, 1}, huge...)),
		frame(18, 3, "", false, huge), // in its header
		frame(3, 12, "", true, append([]byte{0, 1, 0}, huge...)),
	} {
		began := time.Now()
		if _, err := w.Write(in); err != nil {
			t.Fatal(err)
		}
		if got, err := io.ReadAll(w); len(got) > 0 || err != nil {
			t.Errorf("%x is answered by %x: %v", in, got, err)
		}
		if took := time.Since(began); took > 5*time.Second {
			t.Errorf("%x took %v", in, took)
		}
		w = n.wire()
	}
}

// FuzzReadRequest decodes what anybody may send, in little time and memory.
func FuzzReadRequest(f *testing.F) {
	served := apis()
	for key, a := range served {
		for version := a.min; version <= a.max; version++ {
			req := kmsg.RequestForKey(key)
			req.SetVersion(version)
			f.Add(frame(key, version, "me", req.IsFlexible(), req.AppendTo(nil)))
		}
	}
	f.Add(frame(18, 3, "", true, []byte{1, 1, 0xff, 0xff, 0xff, 0xff, 0x0f}))
	f.Fuzz(func(t *testing.T, in []byte) {
		b, err := takes(in).request(t.Context(), 1<<16)
		if err != nil {
			return
		}
		h, rest, err := readHeader(b)
		if err != nil {
			return
		}
		a, ok := served[h.key]
		if !ok || h.version < a.min || h.version > a.max {
			return
		}
		began := time.Now()
		if _, err := a.readRequest(h, rest); err != nil && !errors.Is(err, errFrame) {
			t.Errorf("%+v: %v", h, err)
		}
		if took := time.Since(began); took > 5*time.Second {
			t.Errorf("%+v took %v", h, took)
		}
	})
}
