package redisstreams_test

import (
	"bytes"
	"context"
	"fmt"
	"os"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/redis/go-redis/v9"

	"github.com/hapaxmq/hapax/adapter/redisstreams"
	"github.com/hapaxmq/hapax/internal/deliverytest"
	"github.com/hapaxmq/hapax/internal/servertest"
)

// minIdle is how soon entries may be taken from others in most of these tests.
const minIdle = 200 * time.Millisecond

const groupName = "readers"

func TestMain(m *testing.M) {
	os.Exit(deliverytest.Main(m, func(ctx context.Context, from string, in *deliverytest.Watch) error {
		address, name, _ := strings.Cut(from, " ")
		client := redis.NewClient(&redis.Options{Addr: address})
		o := options(name)
		o.Handlers = 1
		c, err := redisstreams.New(ctx, client, in, o)
		if err != nil {
			return err
		}
		return c.Run(ctx)
	}))
}

func options(name string) redisstreams.Options {
	return redisstreams.Options{
		Stream: name, Group: groupName, DeadLetters: name + "-dead", MinIdle: minIdle, Prefetch: 8, Handlers: 4,
	}
}

// stream is one of a test's own, with its group.
type stream struct {
	*testing.T

	client redis.UniversalClient
	from   string
	o      redisstreams.Options
}

// declare makes a stream on the server that tests share.
func declare(t *testing.T) *stream {
	t.Helper()
	return declareAt(t, servertest.Redis(t))
}

func declareAt(t *testing.T, address string) *stream {
	t.Helper()
	client := redis.NewClient(&redis.Options{Addr: address})
	t.Cleanup(func() { _ = client.Close() })
	s := declareOver(t, client)
	s.from = address + " " + s.o.Stream
	return s
}

func declareOver(t *testing.T, client redis.UniversalClient) *stream {
	t.Helper()
	name := fmt.Sprintf("{%s-%d-%d}", strings.ReplaceAll(t.Name(), " ", "-"), os.Getpid(), time.Now().UnixNano())
	s := &stream{T: t, client: client, o: options(name)}
	s.must(client.XGroupCreateMkStream(t.Context(), name, groupName, "0").Err())
	t.Cleanup(func() { client.Del(context.Background(), name, name+"-dead") })
	return s
}

func source(t *testing.T) deliverytest.Source { return declare(t) }

func (s *stream) must(err error) {
	s.Helper()
	if err != nil {
		s.Fatal(err)
	}
}

func (s *stream) Header() string { return "id" }
func (s *stream) From() string   { return s.from }

func (s *stream) Publish(ids ...string) {
	s.Helper()
	for _, id := range ids {
		s.must(s.client.XAdd(s.Context(), &redis.XAddArgs{Stream: s.o.Stream, Values: []any{"id", id, "payload", "of " + id}}).Err())
	}
}

func (s *stream) Consume(ctx context.Context, in *deliverytest.Watch) error {
	c, err := redisstreams.New(s.Context(), s.client, in, s.o)
	if err != nil {
		return err
	}
	return c.Run(ctx)
}

func (s *stream) Settled() {
	s.Helper()
	groups, err := s.client.XInfoGroups(s.Context(), s.o.Stream).Result()
	s.must(err)
	if g := groups[0]; g.Pending != 0 || g.Lag != 0 {
		s.Errorf("%d entries are pending, and %d were not delivered", g.Pending, g.Lag)
	}
}

func (s *stream) Dead(int) (ids []string) {
	s.Helper()
	letters, err := s.client.XRange(s.Context(), s.o.DeadLetters, "-", "+").Result()
	s.must(err)
	for _, x := range letters {
		if x.Values[redisstreams.FieldStream] != s.o.Stream || x.Values[redisstreams.FieldID] == "" ||
			x.Values[redisstreams.FieldError] == "" || x.Values["payload"] != fmt.Sprint("of ", x.Values["id"]) {
			s.Errorf("dead letter %v: want what it was, and why it is here", x.Values)
		}
		ids = append(ids, fmt.Sprint(x.Values["id"]))
	}
	return ids
}

// read reads entries as a consumer of the group whose program is the caller's.
func (s *stream) read(consumer string, n int) []redis.XMessage {
	s.Helper()
	streams, err := s.client.XReadGroup(s.Context(), &redis.XReadGroupArgs{
		Group: groupName, Consumer: consumer, Streams: []string{s.o.Stream, ">"}, Count: int64(n),
	}).Result()
	s.must(err)
	if len(streams) != 1 || len(streams[0].Messages) != n {
		s.Fatalf("read %v, want %d entries", streams, n)
	}
	return streams[0].Messages
}

// message is an entry as the inbox takes it in.
func (s *stream) handle(w *deliverytest.Watch, x redis.XMessage) {
	s.Helper()
	_, err := w.Handle(s.Context(), redisstreams.Message(s.o.Stream, "payload", x))
	s.must(err)
}

// lockedBuffer is a log that several write.
type lockedBuffer struct {
	mu   sync.Mutex
	text bytes.Buffer
}

func (b *lockedBuffer) Write(p []byte) (int, error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.text.Write(p)
}

func (b *lockedBuffer) String() string {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.text.String()
}

// until asks until it is so.
func until(t *testing.T, so func() bool) {
	t.Helper()
	ask := time.NewTicker(5 * time.Millisecond)
	defer ask.Stop()
	for end := time.Now().Add(time.Minute); !so(); <-ask.C {
		if time.Now().After(end) {
			t.Error("it did not become so within a minute")
			return
		}
	}
}
