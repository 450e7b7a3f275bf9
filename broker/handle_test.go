package broker

import (
	"context"
	"io"
	"log/slog"
	"math/rand/v2"
	"net"
	"reflect"
	"testing"
	"time"

	"github.com/twmb/franz-go/pkg/kmsg"

	"github.com/hapaxmq/hapax/internal/vfs"
)

// sink is a connection that takes everything and says nothing.
type sink struct{ net.Conn }

func (sink) Write(b []byte) (int, error)      { return len(b), nil }
func (sink) Read([]byte) (int, error)         { return 0, io.EOF }
func (sink) SetReadDeadline(time.Time) error  { return nil }
func (sink) SetWriteDeadline(time.Time) error { return nil }
func (sink) RemoteAddr() net.Addr             { return &net.TCPAddr{IP: net.IPv4(127, 0, 0, 1)} }

// likely fills a request with what makes it past the first checks.
func likely(r *rand.Rand, v reflect.Value) {
	switch v.Kind() {
	case reflect.Bool:
		v.SetBool(r.IntN(2) == 0)
	case reflect.Int8, reflect.Int16, reflect.Int32, reflect.Int64:
		v.SetInt([]int64{-1, 0, 0, 0, 1, 1, 2, 3, 1000, -1 << 31, 1<<31 - 1, 1<<63 - 1, -1 << 63}[r.IntN(13)])
	case reflect.Uint8, reflect.Uint16, reflect.Uint32, reflect.Uint64:
		v.SetUint(r.Uint64())
	case reflect.Float64:
		v.SetFloat(r.Float64())
	case reflect.String:
		v.SetString([]string{"", "a", "a", "b", "range", "consumer", "retention.ms", "1", "alice", "not a topic's name"}[r.IntN(10)])
	case reflect.Pointer:
		if r.IntN(3) > 0 {
			v.Set(reflect.New(v.Type().Elem()))
			likely(r, v.Elem())
		}
	case reflect.Slice:
		if n := r.IntN(4); n > 0 {
			v.Set(reflect.MakeSlice(v.Type(), n-1, n))
		}
		for i := range v.Len() {
			likely(r, v.Index(i))
		}
	case reflect.Array:
		v.Index(v.Len() - 1).SetUint(uint64(r.IntN(3)))
	case reflect.Struct:
		for i := range v.NumField() {
			if v.Type().Field(i).Name != "UnknownTags" {
				likely(r, v.Field(i))
			}
		}
	}
}

// FuzzHandle handles what anybody may send. Nothing panics, and answers that wait for
// something end with who asks.
func FuzzHandle(f *testing.F) {
	served := apis()
	r := rand.New(rand.NewPCG(1, 2))
	for key, a := range served {
		for range 12 {
			req := kmsg.RequestForKey(key)
			likely(r, reflect.ValueOf(req).Elem())
			req.SetVersion(a.min + int16(r.IntN(int(a.max-a.min)+1)))
			f.Add(key, req.GetVersion(), req.AppendTo(nil))
		}
	}
	b, err := Open("node", Options{
		FS: vfs.NewMem(), Logger: slog.New(slog.DiscardHandler), Listeners: []Listener{{Address: "127.0.0.1:0"}},
		Settings: Settings{"group.initial.rebalance.delay.ms": "0", "group.max.size": "100"},
	})
	if err != nil {
		f.Fatal(err)
	}
	f.Cleanup(func() { _ = b.Close() }) // whatever it was brought to
	f.Fuzz(func(t *testing.T, key, version int16, body []byte) {
		ctx, cancel := context.WithTimeout(t.Context(), 10*time.Millisecond)
		defer cancel()
		c := &conn{b: b, net: sink{}, listen: b.ports.open[0], patience: patience{net: sink{}, idle: time.Hour}}
		if req := kmsg.RequestForKey(key); req != nil {
			if req.SetVersion(version); req.IsFlexible() {
				body = append([]byte{0}, body...)
			}
		}
		a, err := c.handle(ctx, header{key: key, version: version}, body)
		if err == nil {
			_ = c.give(ctx, queued{answer: a}) // it may end with ctx
		}
	})
}
