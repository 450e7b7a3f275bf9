package broker

import (
	"bufio"
	"context"
	"errors"
	"io"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kgo"
	"github.com/twmb/franz-go/pkg/kmsg"
	"github.com/twmb/franz-go/pkg/sasl"
	"github.com/twmb/franz-go/pkg/sasl/plain"
	saslscram "github.com/twmb/franz-go/pkg/sasl/scram"

	"github.com/hapaxmq/hapax/broker/code"
	"github.com/hapaxmq/hapax/broker/scram"
)

// logins are a user's, by every mechanism.
func logins(name, password string) map[string]sasl.Mechanism {
	return map[string]sasl.Mechanism{
		"PLAIN":         plain.Auth{User: name, Pass: password}.AsMechanism(),
		"SCRAM-SHA-256": saslscram.Auth{User: name, Pass: password}.AsSha256Mechanism(),
		"SCRAM-SHA-512": saslscram.Auth{User: name, Pass: password}.AsSha512Mechanism(),
	}
}

// wantsLogin lets in who logs in.
func wantsLogin(o *Options) {
	o.Listeners[0].Protocol = SASLPlaintext
	o.Settings["connection.failed.authentication.delay.ms"] = "1"
}

// startWithUser starts a node with a user, alice.
func startWithUser(t *testing.T) *node {
	t.Helper()
	n := startWith(t, wantsLogin)
	if err := n.broker.SetPassword("alice", "secret"); err != nil {
		t.Fatal(err)
	}
	return n
}

// tryLogin sends something as somebody.
func (n *node) tryLogin(ctx context.Context, as sasl.Mechanism) error {
	n.Helper()
	c := n.client(kgo.SASL(as), kgo.DisableClientMetrics())
	defer c.Close()
	return c.Ping(ctx)
}

// wantLogins checks who is let in: by each mechanism, or by none.
func (n *node) wantLogins(ctx context.Context, name, password string, want error) {
	n.Helper()
	for mechanism, as := range logins(name, password) {
		if err := n.tryLogin(ctx, as); !errors.Is(err, want) {
			n.Errorf("%s by %s: %v, want %v", name, mechanism, err, want)
		}
	}
}

func TestLogin(t *testing.T) {
	n, ctx := startWithUser(t), testContext(t)
	for range 2 {
		n.wantLogins(ctx, "alice", "secret", nil)
		n.wantLogins(ctx, "alice", "Secret", kerr.SaslAuthenticationFailed)
		n.wantLogins(ctx, "bob", "secret", kerr.SaslAuthenticationFailed)
		n.restart()
	}
	if err := n.broker.SetPassword("alice", "another"); err != nil {
		t.Fatal(err)
	}
	n.wantLogins(ctx, "alice", "secret", kerr.SaslAuthenticationFailed)
	n.wantLogins(ctx, "alice", "another", nil)
	end := n.broker.wal.End()
	if err := n.broker.SetPassword("alice", "another"); err != nil || n.broker.wal.End() != end {
		t.Errorf("the same password is written again: %v", err)
	}
}

// Users whose change was acknowledged are there after a crash.
func TestUsersOutliveACrash(t *testing.T) {
	n := startWithUser(t)
	if err := n.broker.SetPassword("bob", "bobs"); err != nil {
		t.Fatal(err)
	}
	after := n.copied()
	for name, password := range map[string]string{"alice": "secret", "bob": "bobs"} {
		if !after.broker.users.fits(t.Context(), name, password) {
			t.Errorf("%s is not known any more", name)
		}
	}
}

// Users come, change and go by the requests of Kafka's tools.
func TestAlterUsers(t *testing.T) {
	n, ctx := startWithUser(t), testContext(t)
	admin := kadm.NewClient(n.client(kgo.SASL(logins("alice", "secret")["PLAIN"])))
	altered, err := admin.AlterUserSCRAMs(ctx, nil, []kadm.UpsertSCRAM{
		{User: "bob", Mechanism: kadm.ScramSha256, Iterations: 8192, Password: "bobs"},
		{User: "carol", Mechanism: kadm.ScramSha512, Iterations: 4096, Password: "carols"},
		{User: "dave", Mechanism: kadm.ScramSha512, Iterations: 100, Password: "daves"},
	})
	if err != nil {
		t.Fatal(err)
	}
	for name, want := range map[string]error{"bob": nil, "carol": nil, "dave": kerr.UnacceptableCredential} {
		if got := altered[name].Err; !errors.Is(got, want) {
			t.Errorf("%s: %v, want %v", name, got, want)
		}
	}
	for range 2 {
		bob, carol := logins("bob", "bobs"), logins("carol", "carols")
		for _, test := range []struct {
			as   sasl.Mechanism
			want error
		}{
			{bob["PLAIN"], nil}, {bob["SCRAM-SHA-256"], nil}, {bob["SCRAM-SHA-512"], kerr.SaslAuthenticationFailed},
			{carol["PLAIN"], nil}, {carol["SCRAM-SHA-512"], nil}, {carol["SCRAM-SHA-256"], kerr.SaslAuthenticationFailed},
		} {
			if err := n.tryLogin(ctx, test.as); !errors.Is(err, test.want) {
				t.Errorf("%v, want %v", err, test.want)
			}
		}
		n.restart()
	}
	admin = kadm.NewClient(n.client(kgo.SASL(logins("alice", "secret")["SCRAM-SHA-512"])))
	described, err := admin.DescribeUserSCRAMs(ctx)
	if err != nil || len(described) != 3 || len(described["alice"].CredInfos) != 2 ||
		described["bob"].CredInfos[0] != (kadm.CredInfo{Mechanism: kadm.ScramSha256, Iterations: 8192}) {
		t.Errorf("users: %+v, %v", described, err)
	}
	if described, err = admin.DescribeUserSCRAMs(ctx, "dave"); err != nil || !errors.Is(described["dave"].Err, kerr.ResourceNotFound) {
		t.Errorf("dave: %+v, %v", described, err)
	}
	altered, err = admin.AlterUserSCRAMs(ctx, []kadm.DeleteSCRAM{{User: "bob", Mechanism: kadm.ScramSha256}, {User: "carol", Mechanism: kadm.ScramSha256}}, nil)
	if err != nil || altered["bob"].Err != nil || !errors.Is(altered["carol"].Err, kerr.ResourceNotFound) {
		t.Errorf("delete: %+v, %v", altered, err)
	}
	for range 2 {
		n.wantLogins(ctx, "bob", "bobs", kerr.SaslAuthenticationFailed)
		n.restart()
	}
}

// What a tool would not send is refused.
func TestAlterUsersRefuses(t *testing.T) {
	n := start(t)
	w := n.wire()
	alter := func(changes ...kmsg.AlterUserSCRAMCredentialsRequestUpsertion) code.Error {
		t.Helper()
		req := kmsg.NewPtrAlterUserSCRAMCredentialsRequest()
		req.Upsertions = changes
		return code.Error(ask[*kmsg.AlterUserSCRAMCredentialsResponse](w, 0, req).Results[0].ErrorCode)
	}
	good := kmsg.AlterUserSCRAMCredentialsRequestUpsertion{Name: "bob", Mechanism: 1, Iterations: 4096, Salt: []byte("salt"), SaltedPassword: make([]byte, 32)}
	for name, test := range map[string]struct {
		change func(*kmsg.AlterUserSCRAMCredentialsRequestUpsertion)
		want   code.Error
	}{
		"no name":             {func(u *kmsg.AlterUserSCRAMCredentialsRequestUpsertion) { u.Name = "" }, code.UnacceptableCredential},
		"a name of two lines": {func(u *kmsg.AlterUserSCRAMCredentialsRequestUpsertion) { u.Name = "a\nb" }, code.UnacceptableCredential},
		"another mechanism":   {func(u *kmsg.AlterUserSCRAMCredentialsRequestUpsertion) { u.Mechanism = 3 }, code.UnsupportedSASLMechanism},
		"no iterations":       {func(u *kmsg.AlterUserSCRAMCredentialsRequestUpsertion) { u.Iterations = 0 }, code.UnacceptableCredential},
		"too many iterations": {func(u *kmsg.AlterUserSCRAMCredentialsRequestUpsertion) { u.Iterations = 16385 }, code.UnacceptableCredential},
		"no salt":             {func(u *kmsg.AlterUserSCRAMCredentialsRequestUpsertion) { u.Salt = nil }, code.UnacceptableCredential},
		"a password too long": {func(u *kmsg.AlterUserSCRAMCredentialsRequestUpsertion) { u.SaltedPassword = make([]byte, 33) }, code.UnacceptableCredential},
	} {
		bad := good
		test.change(&bad)
		if got := alter(bad); got != test.want {
			t.Errorf("%s: %v, want %v", name, got, test.want)
		}
	}
	if got := alter(good, good); got != code.DuplicateResource {
		t.Errorf("twice: %v", got)
	}
	if got := alter(good); got != code.None {
		t.Errorf("as it should be: %v", got)
	}
}

// Before login nothing is served that needs none.
func TestBeforeLogin(t *testing.T) {
	n := startWithUser(t)
	gone := func(w *wire, what string) {
		t.Helper()
		if got, err := io.ReadAll(w); len(got) > 0 || err != nil {
			t.Errorf("%s is answered by %x: %v", what, got, err)
		}
	}
	send := func(req kmsg.Request) *wire {
		t.Helper()
		w := n.wire()
		if _, err := w.Write(kmsg.NewRequestFormatter().AppendRequest(nil, req, 7)); err != nil {
			t.Fatal(err)
		}
		return w
	}
	gone(send(kmsg.NewPtrMetadataRequest()), "Metadata")
	w := n.wire()
	if _, err := w.Write(frame(17, 1, "", false, make([]byte, 1<<20))[:12]); err != nil {
		t.Fatal(err)
	}
	gone(w, "a long request")

	w = n.wire()
	ask[*kmsg.ApiVersionsResponse](w, 3, kmsg.NewPtrApiVersionsRequest())
	w.want(code.IllegalSASLState, ask[*kmsg.SASLAuthenticateResponse](w, 1, kmsg.NewPtrSASLAuthenticateRequest()).ErrorCode)
	gone(w, "more")

	w = n.wire()
	hand := kmsg.NewPtrSASLHandshakeRequest()
	hand.Mechanism = "GSSAPI"
	refused := ask[*kmsg.SASLHandshakeResponse](w, 1, hand)
	if w.want(code.UnsupportedSASLMechanism, refused.ErrorCode); len(refused.SupportedMechanisms) != 3 {
		t.Errorf("mechanisms %q", refused.SupportedMechanisms)
	}
}

// authenticate logs in on a connection.
func (w *wire) authenticate(name, password string) *kmsg.SASLAuthenticateResponse {
	w.Helper()
	hand := kmsg.NewPtrSASLHandshakeRequest()
	hand.Mechanism = "PLAIN"
	w.want(code.None, ask[*kmsg.SASLHandshakeResponse](w, 1, hand).ErrorCode)
	auth := kmsg.NewPtrSASLAuthenticateRequest()
	auth.SASLAuthBytes = []byte("\x00" + name + "\x00" + password)
	return ask[*kmsg.SASLAuthenticateResponse](w, 2, auth)
}

// Older clients send tokens without requests around them.
func TestBareTokens(t *testing.T) {
	n := startWithUser(t)
	w := n.wire()
	hand := kmsg.NewPtrSASLHandshakeRequest()
	hand.Mechanism = "PLAIN"
	w.want(code.None, ask[*kmsg.SASLHandshakeResponse](w, 0, hand).ErrorCode)
	if _, err := w.Write(appendSized(nil, []byte("\x00alice\x00secret"))); err != nil {
		t.Fatal(err)
	}
	var size [4]byte // of the reply
	if _, err := io.ReadFull(w, size[:]); err != nil || size != [4]byte{} {
		t.Errorf("%x, %v", size, err)
	}
	ask[*kmsg.MetadataResponse](w, 9, kmsg.NewPtrMetadataRequest())

	w = n.wire()
	ask[*kmsg.SASLHandshakeResponse](w, 0, hand)
	if _, err := w.Write(appendSized(nil, []byte("\x00alice\x00wrong"))); err != nil {
		t.Fatal(err)
	}
	if got, err := io.ReadAll(w); len(got) > 0 || err != nil {
		t.Errorf("a wrong password is answered by %x: %v", got, err)
	}
}

// Who has to log in again does so in time, as the same user.
func TestLoginAgain(t *testing.T) {
	n := &node{T: t, dir: t.TempDir(), addr: "127.0.0.1:0", adapt: func(o *Options) {
		wantsLogin(o)
		o.Settings["connections.max.reauth.ms"] = "60000"
	}}
	var ahead atomic.Int64
	n.clock = func() time.Time { return time.Now().Add(time.Duration(ahead.Load())) }
	n.start()
	t.Cleanup(func() { _ = n.stop() })
	for _, name := range []string{"alice", "bob"} {
		if err := n.broker.SetPassword(name, "secret"); err != nil {
			t.Fatal(err)
		}
	}
	w := n.wire()
	if resp := w.authenticate("alice", "secret"); resp.ErrorCode != 0 || resp.SessionLifetimeMillis != 60000 {
		t.Errorf("%+v", resp)
	}
	for range 3 {
		ahead.Add(int64(50 * time.Second))
		ask[*kmsg.MetadataResponse](w, 9, kmsg.NewPtrMetadataRequest())
		w.want(code.None, w.authenticate("alice", "secret").ErrorCode)
	}
	w.want(code.SASLAuthenticationFailed, w.authenticate("bob", "secret").ErrorCode)

	w = n.wire()
	w.want(code.None, w.authenticate("alice", "secret").ErrorCode)
	ahead.Add(int64(61 * time.Second))
	if _, err := w.Write(kmsg.NewRequestFormatter().AppendRequest(nil, kmsg.NewPtrMetadataRequest(), 7)); err != nil {
		t.Fatal(err)
	}
	if got, err := io.ReadAll(w); len(got) > 0 || err != nil {
		t.Errorf("too late, and answered by %x: %v", got, err)
	}
}

// A connection that says nothing is closed, whether it has logged in or not.
func TestIdle(t *testing.T) {
	for _, protocol := range []Protocol{Plaintext, SASLPlaintext} {
		n := startWith(t, func(o *Options) {
			o.Listeners[0].Protocol = protocol
			o.Settings["connections.max.idle.ms"] = "20"
		})
		if got, err := io.ReadAll(n.wire()); len(got) > 0 || err != nil {
			t.Errorf("%s: %x, %v", protocol, got, err)
		}
	}
}

// A connection that always has the next request in its buffer is not idle.
func TestBusyIsNotIdle(t *testing.T) {
	w := start(t).wire()
	p := patience{net: w, idle: time.Minute, read: time.Now().Add(-time.Hour)}
	if err := w.SetReadDeadline(time.Now().Add(-time.Hour)); err != nil {
		t.Fatal(err)
	}
	r := bufio.NewReader(strings.NewReader("requests"))
	if _, err := r.Peek(1); err != nil {
		t.Fatal(err)
	}
	if err := p.awaitRequest(r, true, nil); err != nil {
		t.Fatal(err)
	}
	ask[*kmsg.ApiVersionsResponse](w, 3, kmsg.NewPtrApiVersionsRequest()) // by its new deadline
}

// Each listener tells its own name, and has its own protocol.
func TestProtocolsOfListeners(t *testing.T) {
	n := startWith(t, func(o *Options) {
		wantsLogin(o)
		o.Listeners[0].Advertise = "outside.example:9093"
		o.Listeners = append(o.Listeners, Listener{Address: "127.0.0.1:0", Advertise: "inside.example:9092"})
	})
	if err := n.broker.SetPassword("alice", "secret"); err != nil {
		t.Fatal(err)
	}
	for i, want := range []string{"outside.example", "inside.example"} {
		n.addr = n.broker.Addresses()[i]
		w := n.wire()
		if i == 0 {
			w.want(code.None, w.authenticate("alice", "secret").ErrorCode)
		} else {
			w.want(code.IllegalSASLState, ask[*kmsg.SASLHandshakeResponse](n.wire(), 1, kmsg.NewPtrSASLHandshakeRequest()).ErrorCode)
		}
		if got := ask[*kmsg.MetadataResponse](w, 9, kmsg.NewPtrMetadataRequest()).Brokers[0].Host; got != want {
			t.Errorf("listener %d tells %s, want %s", i, got, want)
		}
	}
}

// FuzzUserChange reads frames of users.
func FuzzUserChange(f *testing.F) {
	u := userChange{user: "alice"}
	u.add(scram.SHA256, scram.New(scram.SHA256, "secret", []byte("salt"), scram.MinIterations))
	u.changes = append(u.changes, credentialChange{mechanism: scram.SHA512, taken: true})
	f.Add(u.encode())
	f.Fuzz(func(t *testing.T, in []byte) {
		u, err := readUserChange(in)
		if err != nil {
			return
		}
		again, err := readUserChange(u.encode())
		if err != nil || again.user != u.user || len(again.changes) != len(u.changes) {
			t.Errorf("%+v is read as %+v: %v", u, again, err)
		}
	})
}
