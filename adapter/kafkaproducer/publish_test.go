package kafkaproducer_test

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"net/http/httptest"
	"regexp"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kgo"

	"github.com/hapaxmq/hapax"
	"github.com/hapaxmq/hapax/adapter/kafkaproducer"
	"github.com/hapaxmq/hapax/httpkey"
	"github.com/hapaxmq/hapax/inbox"
	"github.com/hapaxmq/hapax/ledger"
)

func withID(id string) *kgo.Record {
	return &kgo.Record{Headers: []kgo.RecordHeader{{Key: "other", Value: []byte("x")}, {Key: "id", Value: []byte(id)}}}
}

var errTrade = errors.New("no such trade")

// trade is the natural id of records that have a key.
func trade(r *kgo.Record) (string, error) {
	switch {
	case string(r.Key) == "wrong":
		return "", errTrade
	case r.Key == nil:
		return "", nil
	}
	return "trade-" + string(r.Key), nil
}

func TestIdentify(t *testing.T) {
	uuid := `^[0-9a-f]{8}-[0-9a-f]{4}-7[0-9a-f]{3}-[89ab][0-9a-f]{3}-[0-9a-f]{12}$`
	p := newProducer(t, newClient(t, "127.0.0.1:1"), kafkaproducer.Options{ID: trade})
	for name, test := range map[string]struct {
		record *kgo.Record
		want   string // a pattern; empty: an error
		err    error
	}{
		"the record's own":      {withID("7"), "^7$", nil},
		"before a natural one":  {&kgo.Record{Key: []byte("1"), Headers: withID("7").Headers}, "^7$", nil},
		"natural":               {&kgo.Record{Key: []byte("1")}, "^trade-1$", nil},
		"minted":                {&kgo.Record{}, uuid, nil},
		"the natural one fails": {&kgo.Record{Key: []byte("wrong")}, "", nil},
		"empty":                 {withID(""), "", hapax.ErrMissing},
		"control character":     {withID("a\nb"), "", hapax.ErrMalformed},
		"too long":              {withID(strings.Repeat("x", 256)), "", hapax.ErrMalformed},
	} {
		t.Run(name, func(t *testing.T) {
			id, err := p.Identify(t.Context(), "", test.record)
			if (err == nil) != (test.want != "") || test.err != nil && !errors.Is(err, test.err) {
				t.Fatalf("id %q with error %v", id, err)
			}
			if err != nil {
				return
			}
			if !regexp.MustCompile(test.want).MatchString(id) || idOf(test.record) != id {
				t.Errorf("id %q, the header has %q", id, idOf(test.record))
			}
			if again, err := p.Identify(t.Context(), "", test.record); again != id || err != nil {
				t.Errorf("once more it is %q: %v", again, err)
			}
		})
	}
}

// Headers of a slice that others use are not written over.
func TestIdentifyKeepsOthersHeaders(t *testing.T) {
	p := newProducer(t, newClient(t, "127.0.0.1:1"), kafkaproducer.Options{})
	shared := make([]kgo.RecordHeader, 1, 2)
	a, b := &kgo.Record{Headers: shared}, &kgo.Record{Headers: shared}
	for _, r := range []*kgo.Record{a, b} {
		if _, err := p.Identify(t.Context(), "", r); err != nil {
			t.Fatal(err)
		}
	}
	if idOf(a) == idOf(b) {
		t.Errorf("both have id %q", idOf(a))
	}
}

func newLedger(t *testing.T) *ledger.Ledger {
	t.Helper()
	l, err := ledger.Open("", ledger.Options{Window: hapax.Window{Time: time.Hour}, Digests: true})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := l.Close(); err != nil {
			t.Error(err)
		}
	})
	return l
}

// TestIdentifyInHandlers: a handler that runs again gives its records the ids they had.
func TestIdentifyInHandlers(t *testing.T) {
	p := newProducer(t, newClient(t, "127.0.0.1:1"), kafkaproducer.Options{ID: trade})
	var runs [][]string
	send := func(ctx context.Context) error {
		var ids []string
		for step, r := range map[string]*kgo.Record{"bill": {}, "mail": {}} {
			id, err := p.Identify(ctx, step, r)
			if err != nil {
				t.Error(err)
			}
			ids = append(ids, step+" "+id)
		}
		if _, err := p.Identify(ctx, "", &kgo.Record{}); !errors.Is(err, kafkaproducer.ErrStep) {
			t.Errorf("without a step: %v", err)
		}
		if id, err := p.Identify(ctx, "", &kgo.Record{Key: []byte("1")}); id != "trade-1" || err != nil {
			t.Errorf("a natural id in a handler: %q, %v", id, err)
		}
		runs = append(runs, sortedCopy(ids))
		return errors.New("once more")
	}
	in, err := inbox.Lease(newLedger(t), inbox.Options{Name: "orders", Identity: "header:id", Window: time.Hour},
		func(ctx context.Context, _ hapax.Claim, _ *hapax.Message) (hapax.Receipt, error) {
			return nil, send(ctx)
		})
	if err != nil {
		t.Fatal(err)
	}
	keyed, err := httpkey.New(newLedger(t), httpkey.Options{Name: "orders", Tenant: httpkey.OneTenant, Window: time.Hour})
	if err != nil {
		t.Fatal(err)
	}
	handler := keyed.Wrap(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		_ = send(r.Context())
		w.WriteHeader(http.StatusInternalServerError)
	}))
	for name, handle := range map[string]func(id string){
		"inbox": func(id string) {
			_, _ = in.Handle(t.Context(), &hapax.Message{Headers: []hapax.Header{{Name: "id", Value: []byte(id)}}})
		},
		"httpkey": func(id string) {
			r := httptest.NewRequest(http.MethodPost, "/", http.NoBody)
			if err := httpkey.SetKey(r.Header, id); err != nil {
				t.Fatal(err)
			}
			handler.ServeHTTP(httptest.NewRecorder(), r)
		},
	} {
		runs = nil
		handle("1")
		handle("1")
		handle("2")
		if len(runs) != 3 || fmt.Sprint(runs[0]) != fmt.Sprint(runs[1]) || fmt.Sprint(runs[0]) == fmt.Sprint(runs[2]) {
			t.Errorf("%s: ids of two runs of 1, and of one of 2: %q", name, runs)
		}
		if len(runs[0]) == 2 && strings.TrimPrefix(runs[0][0], "bill ") == strings.TrimPrefix(runs[0][1], "mail ") {
			t.Errorf("%s: two steps have one id: %q", name, runs[0])
		}
	}
}

// TestS45TimeoutIsUnknown: an answer that is lost is no answer. The record is sent again with
// its id, and is in the topic once.
func TestS45TimeoutIsUnknown(t *testing.T) {
	t.Parallel()
	for name, more := range map[string][]kgo.Opt{
		"the client goes on by itself":   nil,
		"the client gives the record up": {kgo.AllowIdempotentProduceCancellation(), kgo.RecordDeliveryTimeout(time.Second)},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			addr := serve(t)
			makeTopic(t, addr, "payments", byID())
			d := new(deafness)
			c := newClient(t, addr, append(more, kgo.Dialer(d.dial))...)
			p := newProducer(t, c, kafkaproducer.Options{})
			if err := p.Publish(t.Context(), &kgo.Record{Topic: "payments", Value: []byte("0")}); err != nil {
				t.Fatal(err)
			}
			d.arm()
			lost := d.lost
			ctx, cancel := context.WithCancel(t.Context())
			go func() {
				select {
				case <-lost:
				case <-time.After(patience):
				}
				cancel()
			}()
			r := &kgo.Record{Topic: "payments", Value: []byte("1")}
			err := p.Publish(ctx, r)
			of := new(kafkaproducer.RecordError)
			if !errors.Is(err, hapax.ErrUnknown) || !errors.As(err, &of) || of.Record != r || of.ID != idOf(r) {
				t.Fatalf("the answer was lost: %v", err)
			}
			id := idOf(r)
			d.heal()
			if err := p.Publish(t.Context(), r); err != nil {
				t.Fatal(err)
			}
			if s := p.Stats(); s.Published != 2 || s.Unknown != 1 || s.Refused != 0 {
				t.Errorf("counted %+v", s)
			}
			all, copies := records(t, addr, "payments")
			if len(all) != 2 || idOf(all[1]) != id || string(all[1].Value) != "1" {
				t.Fatalf("%d records", len(all))
			}
			if copies == 0 {
				t.Error("the record was sent once, and should have been twice")
			}
		})
	}
}

// givenUp does something when a client first gives a record up.
type givenUp struct {
	records atomic.Int64
	then    func()
}

func (g *givenUp) OnProduceRecordUnbuffered(_ *kgo.Record, err error) {
	if err != nil && g.records.Add(1) == 1 {
		g.then()
	}
}

// TestPublishTriesAgain: Publish itself sends what the client gave up.
func TestPublishTriesAgain(t *testing.T) {
	addr := serve(t)
	makeTopic(t, addr, "payments", byID())
	d := new(deafness)
	given := &givenUp{then: d.heal}
	p := newProducer(t, newClient(t, addr, kgo.Dialer(d.dial), kgo.WithHooks(given), kgo.AllowIdempotentProduceCancellation(),
		kgo.RecordDeliveryTimeout(time.Second), kgo.ProduceRequestTimeout(100*time.Millisecond), kgo.RequestTimeoutOverhead(time.Second)),
		kafkaproducer.Options{})
	d.arm()
	var all []*kgo.Record
	for i := range 10 {
		all = append(all, &kgo.Record{Topic: "payments", Value: fmt.Append(nil, i)})
	}
	if err := p.Publish(t.Context(), all...); err != nil {
		t.Fatal(err)
	}
	if given.records.Load() == 0 {
		t.Error("the client gave nothing up")
	}
	if s, want := p.Stats(), (kafkaproducer.Stats{Published: 10, Again: given.records.Load()}); s != want {
		t.Errorf("counted %+v, want %+v", s, want)
	}
	got, _ := records(t, addr, "payments")
	if len(got) != len(all) {
		t.Fatalf("%d records, want %d", len(got), len(all))
	}
	for i, r := range got {
		if idOf(r) != idOf(all[i]) || string(r.Value) != fmt.Sprint(i) {
			t.Errorf("number %d has id %q and value %q", i, idOf(r), r.Value)
		}
	}
}

// TestRefusals: what no other try would help is not tried again, and is not unknown.
func TestRefusals(t *testing.T) {
	addr := serve(t)
	small := "1000"
	makeTopic(t, addr, "small", map[string]*string{"max.message.bytes": &small})
	c := newClient(t, addr, kgo.ProducerBatchCompression(kgo.NoCompression()))
	p := newProducer(t, c, kafkaproducer.Options{})
	for name, test := range map[string]struct {
		record *kgo.Record
		want   error
	}{
		"no such topic": {&kgo.Record{Topic: "missing"}, kerr.UnknownTopicOrPartition},
		"too large":     {&kgo.Record{Topic: "small", Value: make([]byte, 2000)}, kerr.MessageTooLarge},
		"no topic":      {&kgo.Record{}, nil},
	} {
		err := p.Publish(t.Context(), test.record)
		if err == nil || errors.Is(err, hapax.ErrUnknown) || test.want != nil && !errors.Is(err, test.want) {
			t.Errorf("%s: %v", name, err)
		}
	}
	fits := &kgo.Record{Topic: "small", Value: []byte("1")}
	err := p.Publish(t.Context(), fits, &kgo.Record{Topic: "missing"})
	if !errors.Is(err, kerr.UnknownTopicOrPartition) || fits.Offset != 0 {
		t.Errorf("one of two: %v", err)
	}
	if all, _ := records(t, addr, "small"); len(all) != 1 {
		t.Errorf("%d records", len(all))
	}
	c.Close()
	if err := p.Publish(t.Context(), fits); !errors.Is(err, hapax.ErrUnknown) || !errors.Is(err, kgo.ErrClientClosed) {
		t.Errorf("the client is closed: %v", err)
	}
	if s, want := p.Stats(), (kafkaproducer.Stats{Published: 1, Refused: 3, Unknown: 1}); s != want {
		t.Errorf("counted %+v, want %+v", s, want)
	}
}

func TestNew(t *testing.T) {
	c := newClient(t, "127.0.0.1:1")
	for name, err := range map[string]error{
		"no client":     second(kafkaproducer.New(nil, kafkaproducer.Options{})),
		"one replica":   second(kafkaproducer.New(newClient(t, "127.0.0.1:1", kgo.RequiredAcks(kgo.LeaderAck()), kgo.DisableIdempotentWrite()), kafkaproducer.Options{})),
		"transactions":  second(kafkaproducer.New(newClient(t, "127.0.0.1:1", kgo.TransactionalID("x")), kafkaproducer.Options{})),
		"timeout":       second(kafkaproducer.New(c, kafkaproducer.Options{Timeout: -1})),
		"no ledger":     second(kafkaproducer.NewOnce(newProducer(t, c, kafkaproducer.Options{}), nil, kafkaproducer.OnceOptions{Name: "x"})),
		"once, no name": second(kafkaproducer.NewOnce(newProducer(t, c, kafkaproducer.Options{}), newLedger(t), kafkaproducer.OnceOptions{})),
		"once, lease":   second(kafkaproducer.NewOnce(newProducer(t, c, kafkaproducer.Options{}), newLedger(t), kafkaproducer.OnceOptions{Name: "x", Lease: -1})),
	} {
		if err == nil {
			t.Errorf("%s is taken", name)
		}
	}
}

func second[T any](_ T, err error) error { return err }
