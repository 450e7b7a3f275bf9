package redisdb_test

import (
	"context"
	"errors"
	"fmt"
	"net"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/redis/go-redis/v9"

	"github.com/hapaxmq/hapax"
	"github.com/hapaxmq/hapax/adapter/redisdb"
	"github.com/hapaxmq/hapax/identity"
	"github.com/hapaxmq/hapax/internal/claimrecord"
	"github.com/hapaxmq/hapax/internal/servertest"
)

func request(id string) hapax.Request {
	return hapax.Request{Scope: "test", Identity: hapax.Identity(id), Lease: time.Minute}
}

func keyOf(prefix, id string) string {
	return claimrecord.Key(prefix, identity.SharedKey("test", hapax.Identity(id)))
}

// claim demands a verdict.
func claim(t *testing.T, l hapax.Ledger, r hapax.Request, want hapax.Verdict) hapax.Claim {
	t.Helper()
	c, err := l.Claim(context.Background(), r)
	if err != nil || c.Verdict != want {
		t.Fatalf("claim %q: %v, %v, want %v", r.Identity, c.Verdict, err, want)
	}
	return c
}

// everywhere runs a test on one server and on a cluster.
func everywhere(t *testing.T, test func(*testing.T, redis.UniversalClient)) {
	t.Run("server", func(t *testing.T) { test(t, connect(t, servertest.Redis(t))) })
	t.Run("cluster", func(t *testing.T) { test(t, connectCluster(t, servertest.RedisCluster(t))) })
}

// trips counts round trips, but for those by which a connection begins.
type trips struct{ n atomic.Int64 }

func (h *trips) count(cmd redis.Cmder) {
	if cmd.Name() != "hello" && cmd.Name() != "client" {
		h.n.Add(1)
	}
}

func (h *trips) DialHook(next redis.DialHook) redis.DialHook { return next }

func (h *trips) ProcessHook(next redis.ProcessHook) redis.ProcessHook {
	return func(ctx context.Context, cmd redis.Cmder) error {
		h.count(cmd)
		return next(ctx, cmd)
	}
}

func (h *trips) ProcessPipelineHook(next redis.ProcessPipelineHook) redis.ProcessPipelineHook {
	return func(ctx context.Context, cmds []redis.Cmder) error {
		h.count(cmds[0])
		return next(ctx, cmds)
	}
}

// TestRoundTrips: a message costs two, a duplicate one, a batch of any size two.
func TestRoundTrips(t *testing.T) {
	everywhere(t, func(t *testing.T, client redis.UniversalClient) {
		l := open(t, client, redisdb.Options{})
		count := new(trips)
		client.AddHook(count)
		spent := func(what string, want int64) {
			t.Helper()
			if n := count.n.Swap(0); n != want {
				t.Errorf("%s: %d round trips, want %d", what, n, want)
			}
		}
		ctx := context.Background()
		c := claim(t, l, request("a"), hapax.Fresh)
		if err := l.Commit(ctx, c, hapax.Receipt("r")); err != nil {
			t.Fatal(err)
		}
		spent("a message", 2)
		claim(t, l, request("a"), hapax.Duplicate)
		spent("a duplicate", 1)

		claims, _ := l.ClaimBatch(ctx, requests("b", 250))
		l.CommitBatch(ctx, claims, nil)
		spent("a batch", 2)
	})
}

func requests(prefix string, n int) []hapax.Request {
	rs := make([]hapax.Request, n)
	for i := range rs {
		rs[i] = request(fmt.Sprint(prefix, i))
	}
	return rs
}

// TestBatch: each message of a batch has its own verdict and its own error (statement 14).
func TestBatch(t *testing.T) {
	everywhere(t, func(t *testing.T, client redis.UniversalClient) {
		l := open(t, client, redisdb.Options{MaxReceipt: 10})
		ctx := context.Background()
		for _, n := range []int{0, 1, 99, 100, 101, 250} {
			name := fmt.Sprint("batch of ", n, " ")
			claims, errs := l.ClaimBatch(ctx, requests(name, n))
			if err := errors.Join(errs...); err != nil || len(claims) != n {
				t.Fatalf("%s: %d claims, %v", name, len(claims), err)
			}
			receipts := make([]hapax.Receipt, n)
			for i := range receipts {
				receipts[i] = hapax.Receipt(fmt.Sprint(i))
			}
			if err := errors.Join(l.CommitBatch(ctx, claims, receipts)...); err != nil {
				t.Fatalf("%s: commit: %v", name, err)
			}
			claims, _ = l.ClaimBatch(ctx, requests(name, n))
			for i, c := range claims {
				if c.Verdict != hapax.Duplicate || string(c.Receipt) != fmt.Sprint(i) {
					t.Fatalf("%s: message %d: %v, receipt %q", name, i, c.Verdict, c.Receipt)
				}
			}
		}

		mixed := []hapax.Request{request("x"), request("y"), request("x"), request("bad"), request("batch of 1 0"), request("z")}
		mixed[3].Lease = 0
		claims, errs := l.ClaimBatch(ctx, mixed)
		want := []hapax.Verdict{hapax.Fresh, hapax.Fresh, hapax.InFlight, 0, hapax.Duplicate, hapax.Fresh}
		for i, c := range claims {
			if c.Verdict != want[i] || (errs[i] != nil) != (want[i] == 0) {
				t.Errorf("message %d of a mixed batch: %v, %v, want %v", i, c.Verdict, errs[i], want[i])
			}
		}
		forged := claims[1]
		forged.Token++
		ends := []hapax.Claim{claims[0], forged, claims[5]}
		got := l.CommitBatch(ctx, ends, []hapax.Receipt{nil, nil, make(hapax.Receipt, 11)})
		if got[0] != nil || !errors.Is(got[1], hapax.ErrLeaseLost) || !errors.Is(got[2], hapax.ErrReceiptSize) {
			t.Errorf("commit of a mixed batch: %v", got)
		}
		claim(t, l, request("x"), hapax.Duplicate)
		claim(t, l, request("y"), hapax.InFlight)
		claim(t, l, request("z"), hapax.InFlight)
	})
}

// TestScriptsAreLoadedAgain: a server that was restarted has no scripts.
func TestScriptsAreLoadedAgain(t *testing.T) {
	server := servertest.StartRedis(t)
	client := connect(t, server.Addr)
	l := open(t, client, redisdb.Options{})
	ctx := context.Background()
	flush := func() {
		if err := client.ScriptFlush(ctx).Err(); err != nil {
			t.Fatal(err)
		}
	}
	flush()
	c := claim(t, l, request("a"), hapax.Fresh)
	flush()
	if _, err := l.Extend(ctx, c, time.Hour); err != nil {
		t.Error(err)
	}
	flush()
	if err := l.Release(ctx, c); err != nil {
		t.Error(err)
	}
	flush()
	claims, errs := l.ClaimBatch(ctx, requests("b", 250))
	flush()
	if err := errors.Join(append(errs, l.CommitBatch(ctx, claims, nil)...)...); err != nil {
		t.Error(err)
	}
	claim(t, l, request("b249"), hapax.Duplicate)
}

// TestTokenGoesOn: the next token is higher than the last, even if that lies in the
// server's future because its clock was set back (statement 19).
func TestTokenGoesOn(t *testing.T) {
	everywhere(t, func(t *testing.T, client redis.UniversalClient) {
		o := redisdb.Options{Prefix: prefix()}
		l := open(t, client, o)
		ctx := context.Background()
		for state, last := range map[claimrecord.State]uint64{claimrecord.Released: 1 << 52, claimrecord.Claimed: 1<<52 + 7} {
			left := claimrecord.Record{State: state, Token: last, Deadline: 1, Digest: 5}.Append(nil)
			id := string(rune(state))
			if err := client.Set(ctx, keyOf(o.Prefix, id), left, time.Minute).Err(); err != nil {
				t.Fatal(err)
			}
			r := request(id)
			r.Digest = 6 // what ran out or was released conflicts with nothing
			if c := claim(t, l, r, hapax.Fresh); c.Token != last+1 {
				t.Errorf("token %d after %d", c.Token, last)
			}
		}
	})
}

// TestForeignKey: what is no record is told, and neither believed nor overwritten.
func TestForeignKey(t *testing.T) {
	client := connect(t, servertest.Redis(t))
	o := redisdb.Options{Prefix: prefix()}
	l := open(t, client, o)
	ctx := context.Background()
	for _, foreign := range []string{"", "1", "c", "d", "r" + strings.Repeat("\x00", 31), "c" + strings.Repeat("\x00", 33), strings.Repeat("z", 33)} {
		if err := client.Set(ctx, keyOf(o.Prefix, "a"), foreign, time.Minute).Err(); err != nil {
			t.Fatal(err)
		}
		if c, err := l.Claim(ctx, request("a")); !errors.Is(err, hapax.ErrCorrupt) {
			t.Errorf("claim over %q: %v, %v, want ErrCorrupt", foreign, c.Verdict, err)
		}
		if got := client.Get(ctx, keyOf(o.Prefix, "a")).Val(); got != foreign {
			t.Errorf("%q was overwritten by %q", foreign, got)
		}
	}
	// Of a key of another type the server itself says so.
	client.Del(ctx, keyOf(o.Prefix, "a"))
	client.LPush(ctx, keyOf(o.Prefix, "a"), "x")
	client.Expire(ctx, keyOf(o.Prefix, "a"), time.Minute)
	if c, err := l.Claim(ctx, request("a")); err == nil {
		t.Errorf("claim over a list: %v", c.Verdict)
	}
}

// TestKeysEnd: every key has an end: a claim its lease and the memory of its token, a
// message the window from its commit.
func TestKeysEnd(t *testing.T) {
	everywhere(t, func(t *testing.T, client redis.UniversalClient) {
		o := redisdb.Options{Prefix: prefix(), Window: 5 * time.Hour, TokenMemory: 2 * time.Hour}
		l := open(t, client, o)
		ctx := context.Background()
		ends := func(what string, want time.Duration) {
			t.Helper()
			left, err := client.PTTL(ctx, keyOf(o.Prefix, "a")).Result()
			if err != nil || left > want || left < want-time.Minute/2 {
				t.Errorf("%s: the key ends in %v, %v, want %v", what, left, err, want)
			}
		}
		c := claim(t, l, request("a"), hapax.Fresh)
		ends("claimed", time.Minute+o.TokenMemory)
		if _, err := l.Extend(ctx, c, 10*time.Minute); err != nil {
			t.Fatal(err)
		}
		ends("extended", 10*time.Minute+o.TokenMemory)
		if err := l.Release(ctx, c); err != nil {
			t.Fatal(err)
		}
		ends("released", o.TokenMemory)
		c = claim(t, l, request("a"), hapax.Fresh)
		if err := l.Commit(ctx, c, nil); err != nil {
			t.Fatal(err)
		}
		ends("committed", o.Window)
	})
}

// TestWindowEnds: by the server's clock a message is remembered for the window, and no
// longer (statement 37).
func TestWindowEnds(t *testing.T) {
	client := connect(t, servertest.Redis(t))
	const window = 200 * time.Millisecond
	l := open(t, client, redisdb.Options{Window: window})
	ctx := context.Background()
	c := claim(t, l, request("a"), hapax.Fresh)
	before := client.Time(ctx).Val()
	if err := l.Commit(ctx, c, nil); err != nil {
		t.Fatal(err)
	}
	for {
		c, err := l.Claim(ctx, request("a"))
		if err != nil {
			t.Fatal(err)
		}
		age := client.Time(ctx).Val().Sub(before)
		if c.Verdict == hapax.Fresh {
			if age < window {
				t.Errorf("forgotten after %v, window %v", age, window)
			}
			return
		}
		if age > time.Minute {
			t.Fatalf("remembered for %v, window %v", age, window)
		}
	}
}

// TestOpenRefuses: servers that cannot keep what is asked for, and clients that would
// forget (statement 40).
func TestOpenRefuses(t *testing.T) {
	plain := servertest.StartRedis(t)
	ctx := context.Background()
	if err := connect(t, plain.Addr).Do(ctx, "ACL", "SETUSER", "mute", "on", "nopass", "+@all", "-info", "~*").Err(); err != nil {
		t.Fatal(err)
	}
	host, port, err := net.SplitHostPort(plain.Addr)
	if err != nil {
		t.Fatal(err)
	}
	replica := servertest.StartRedis(t, "--replicaof", host, port)
	ring := owned(t, redis.NewRing(&redis.RingOptions{Addrs: map[string]string{"one": plain.Addr}}))
	mute := owned(t, redis.NewClient(&redis.Options{Addr: plain.Addr, Username: "mute", Password: "any"}))

	good := redisdb.Options{Window: time.Hour}
	for want, o := range map[string]redisdb.Options{
		"Window": {}, "MaxReceipt": {Window: time.Hour, MaxReceipt: -1}, "TokenMemory": {Window: time.Hour, TokenMemory: 1},
	} {
		refused(t, connect(t, plain.Addr), o, want)
	}
	refused(t, connect(t, servertest.EvictingRedis(t)), good, "allkeys-lru")
	refused(t, connect(t, replica.Addr), good, "replica")
	refused(t, connect(t, servertest.RedisCluster(t)[0]), good, "NewClusterClient")
	refused(t, ring, good, "Ring")
	refused(t, mute, good, "INFO")
	refused(t, connect(t, plain.Addr), redisdb.Options{Window: time.Hour, Durable: true}, "no file")
	refused(t, connect(t, "127.0.0.1:1"), good, "refused")

	l := open(t, connect(t, servertest.EvictingRedis(t)), redisdb.Options{BestEffort: true})
	if p := l.Promises(); !p.Evicts || p.Durable || p.Policy != "allkeys-lru" {
		t.Errorf("an evicting server promises %+v", p)
	}
	l = open(t, connectCluster(t, servertest.RedisCluster(t)), redisdb.Options{Durable: true})
	if p := l.Promises(); p.Evicts || !p.Durable || p.Policy != "noeviction" || p.Fsync != "always" {
		t.Errorf("a cluster that syncs promises %+v", p)
	}
}

func refused(t *testing.T, client redis.UniversalClient, o redisdb.Options, want string) {
	t.Helper()
	if _, err := redisdb.Open(context.Background(), client, o); err == nil || !strings.Contains(err.Error(), want) {
		t.Errorf("open with %+v: %v, want an error about %s", o, err, want)
	}
}
