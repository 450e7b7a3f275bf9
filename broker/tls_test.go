package broker

import (
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"log/slog"
	"math/big"
	"net"
	"os"
	"path/filepath"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/twmb/franz-go/pkg/kgo"
	"github.com/twmb/franz-go/pkg/kmsg"

	"github.com/hapaxmq/hapax/internal/vfs"
)

// authority makes certificates.
type authority struct {
	*testing.T
	cert *x509.Certificate
	key  *ecdsa.PrivateKey
	pem  string
}

func newAuthority(t *testing.T) *authority {
	a := &authority{T: t}
	a.pem, a.cert, a.key = a.make("authority", nil, nil)
	return a
}

// issue is a certificate and its key, in PEM.
func (a *authority) issue(name string) string {
	a.Helper()
	text, _, key := a.make(name, a.cert, a.key)
	der, err := x509.MarshalPKCS8PrivateKey(key)
	if err != nil {
		a.Fatal(err)
	}
	return string(pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: der})) + text
}

func (a *authority) make(name string, by *x509.Certificate, with *ecdsa.PrivateKey) (string, *x509.Certificate, *ecdsa.PrivateKey) {
	a.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		a.Fatal(err)
	}
	c := &x509.Certificate{
		SerialNumber: big.NewInt(time.Now().UnixNano()), Subject: pkix.Name{CommonName: name},
		NotBefore: time.Now().Add(-time.Hour), NotAfter: time.Now().Add(time.Hour),
		IPAddresses: []net.IP{net.IPv4(127, 0, 0, 1)}, DNSNames: []string{"localhost"},
	}
	if by == nil {
		by, with, c.IsCA, c.BasicConstraintsValid, c.KeyUsage = c, key, true, true, x509.KeyUsageCertSign
	}
	der, err := x509.CreateCertificate(rand.Reader, c, by, &key.PublicKey, with)
	if err != nil {
		a.Fatal(err)
	}
	made, err := x509.ParseCertificate(der)
	if err != nil {
		a.Fatal(err)
	}
	return string(pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: der})), made, key
}

// trusting is a client's configuration, with a certificate of its own if it has one.
func (a *authority) trusting(own string) *tls.Config {
	a.Helper()
	c := &tls.Config{RootCAs: x509.NewCertPool(), MinVersion: tls.VersionTLS12}
	c.RootCAs.AddCert(a.cert)
	if own != "" {
		pair, err := tls.X509KeyPair([]byte(own), []byte(own))
		if err != nil {
			a.Fatal(err)
		}
		c.Certificates = []tls.Certificate{pair}
	}
	return c
}

func (a *authority) file(text string) string {
	a.Helper()
	path := filepath.Join(a.TempDir(), "cert.pem")
	if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
		a.Fatal(err)
	}
	return path
}

// encrypted makes a node's one listener that of a protocol.
func encrypted(protocol Protocol, settings Settings) func(*Options) {
	return func(o *Options) {
		o.Listeners[0].Protocol = protocol
		for name, value := range settings {
			o.Settings[name] = value
		}
	}
}

// exchange writes a record that is larger than what goes by sendfile, and reads it.
func (n *node) exchange(ctx context.Context, opts ...kgo.Opt) error {
	n.Helper()
	c := n.client(append(opts, kgo.DefaultProduceTopic("orders"), kgo.ConsumeTopics("orders"), kgo.DisableClientMetrics(),
		kgo.ConsumeResetOffset(kgo.NewOffset().AtStart()), kgo.RecordRetries(1), kgo.ProducerBatchCompression(kgo.NoCompression()))...)
	defer c.Close()
	if err := c.Ping(ctx); err != nil {
		return err
	}
	value := strings.Repeat("value ", 20_000)
	if err := c.ProduceSync(ctx, kgo.StringRecord(value)).FirstErr(); err != nil {
		return err
	}
	fetches := c.PollRecords(ctx, 1)
	if got := fetches.Records(); len(got) != 1 || string(got[0].Value) != value {
		n.Errorf("%d records are read, or others", len(got))
	}
	return fetches.Err()
}

func TestTLS(t *testing.T) {
	a, ctx := newAuthority(t), testContext(t)
	var log said
	adapt := encrypted(SSL, Settings{"ssl.keystore.location": a.file(a.issue("node"))})
	n := startWith(t, func(o *Options) {
		adapt(o)
		o.Logger = slog.New(slog.NewTextHandler(&log, &slog.HandlerOptions{Level: slog.LevelWarn}))
	})
	if err := n.exchange(ctx, kgo.DialTLSConfig(a.trusting(""))); err != nil {
		t.Error(err)
	}
	if log.has("TLS") {
		t.Error("something is said of a client that has what it needs")
	}
	if err := n.exchange(ctx, kgo.DialTLSConfig(newAuthority(t).trusting(""))); err == nil {
		t.Error("a client lets a node in that it does not trust")
	}
	w := n.wire()
	if _, err := w.Write(kmsg.NewRequestFormatter().AppendRequest(nil, kmsg.NewPtrMetadataRequest(), 7)); err != nil {
		t.Fatal(err)
	}
	b := make([]byte, 1)
	if _, err := w.Read(b); err == nil && b[0] != 21 { // a TLS alert
		t.Errorf("an answer without TLS: %x", b)
	}
	for _, want := range []string{"the client speaks without TLS", "bad certificate"} {
		for tries, tick := 0, time.NewTicker(10*time.Millisecond); !log.has(want); tries++ {
			if tries == 1000 {
				t.Fatalf("it does not say %q", want)
			}
			<-tick.C
		}
	}
}

func TestTLSAndLogin(t *testing.T) {
	a, ctx := newAuthority(t), testContext(t)
	n := startWith(t, encrypted(SASLSSL, Settings{"ssl.keystore.location": a.file(a.issue("node")), "connection.failed.authentication.delay.ms": "1"}))
	if err := n.broker.SetPassword("alice", "secret"); err != nil {
		t.Fatal(err)
	}
	for mechanism, as := range logins("alice", "secret") {
		if err := n.exchange(ctx, kgo.DialTLSConfig(a.trusting("")), kgo.SASL(as)); err != nil {
			t.Errorf("%s: %v", mechanism, err)
		}
	}
	if err := n.exchange(ctx, kgo.DialTLSConfig(a.trusting("")), kgo.SASL(logins("alice", "wrong")["PLAIN"])); err == nil {
		t.Error("a wrong password lets in")
	}
}

// Listeners have certificates and mechanisms of their own, or the node's.
func TestSettingsOfListeners(t *testing.T) {
	a, other, ctx := newAuthority(t), newAuthority(t), testContext(t)
	own := a.issue("node")
	n := startWith(t, func(o *Options) {
		encrypted(SASLSSL, Settings{
			"ssl.keystore.certificate.chain": own, "ssl.keystore.key": own, "connection.failed.authentication.delay.ms": "1",
			"listener.name.out.ssl.keystore.location": other.file(other.issue("node")), "listener.name.out.sasl.enabled.mechanisms": "SCRAM-SHA-512",
		})(o)
		o.Listeners = append(o.Listeners, Listener{Name: "OUT", Protocol: SASLSSL, Address: "127.0.0.1:0"})
	})
	if err := n.broker.SetPassword("alice", "secret"); err != nil {
		t.Fatal(err)
	}
	ways := logins("alice", "secret")
	for i, trusting := range []*tls.Config{a.trusting(""), other.trusting("")} {
		n.addr = n.broker.Addresses()[i]
		if err := n.exchange(ctx, kgo.DialTLSConfig(trusting), kgo.SASL(ways["SCRAM-SHA-512"])); err != nil {
			t.Errorf("listener %d: %v", i, err)
		}
		if err := n.exchange(ctx, kgo.DialTLSConfig(trusting), kgo.SASL(ways["PLAIN"])); (err == nil) != (i == 0) {
			t.Errorf("listener %d by PLAIN: %v", i, err)
		}
	}
	_, err := Open(t.TempDir(), Options{Listeners: []Listener{{Address: "127.0.0.1:0"}}, Settings: Settings{"listener.name.out.ssl.client.auth": "none"}})
	if err == nil || !strings.Contains(err.Error(), `there is no listener "out": there are plaintext`) {
		t.Errorf("opened: %v", err)
	}
}

func TestClientCertificates(t *testing.T) {
	a, b, ctx := newAuthority(t), newAuthority(t), testContext(t)
	both := a.issue("node")
	at := strings.Index(both, "-----BEGIN CERTIFICATE")
	n := startWith(t, encrypted(SSL, Settings{
		"ssl.keystore.key": strings.ReplaceAll(both[:at], "\n", " "), "ssl.keystore.certificate.chain": strings.ReplaceAll(both[at:], "\n", `\n`),
		"ssl.truststore.location": a.file(a.pem), "ssl.client.auth": "required", "ssl.enabled.protocols": "TLSv1.3",
	}))
	if err := n.exchange(ctx, kgo.DialTLSConfig(a.trusting(a.issue("client")))); err != nil {
		t.Error(err)
	}
	other := a.trusting(b.issue("client"))
	for name, config := range map[string]*tls.Config{"no certificate": a.trusting(""), "another's": other} {
		if err := n.exchange(ctx, kgo.DialTLSConfig(config), kgo.RequestRetries(0), kgo.RetryTimeout(time.Second)); err == nil {
			t.Errorf("%s lets in", name)
		}
	}
	req := kmsg.NewPtrDescribeConfigsRequest()
	req.Resources = []kmsg.DescribeConfigsRequestResource{{ResourceType: kmsg.ConfigResourceTypeBroker, ResourceName: "1", ConfigNames: []string{"ssl.keystore.key"}}}
	req.IncludeSynonyms = true
	c := n.client(kgo.DialTLSConfig(a.trusting(a.issue("client"))))
	resp, err := req.RequestWith(ctx, c)
	if err != nil {
		t.Fatal(err)
	}
	if key := resp.Resources[0].Configs[0]; key.Value != nil || !key.IsSensitive || len(key.ConfigSynonyms) > 0 {
		t.Errorf("the private key is told: %+v", key)
	}
}

// New certificates are taken without a restart; what is none changes nothing.
func TestCertificatesAreReadAgain(t *testing.T) {
	a := newAuthority(t)
	path := a.file(a.issue("one"))
	var ahead atomic.Int64
	set, err := parseSettings(Settings{"ssl.keystore.location": path})
	if err != nil {
		t.Fatal(err)
	}
	now := func() time.Time { return time.Now().Add(time.Duration(ahead.Load())) }
	n := start(t)
	c, err := loadCertificates(vfs.OS(), &set, now, n.broker.options.Logger)
	if err != nil {
		t.Fatal(err)
	}
	name := func() string {
		t.Helper()
		config, err := c.server(true).GetConfigForClient(nil)
		if err != nil {
			t.Fatal(err)
		}
		leaf, err := x509.ParseCertificate(config.Certificates[0].Certificate[0])
		if err != nil {
			t.Fatal(err)
		}
		return leaf.Subject.CommonName
	}
	for _, step := range []struct {
		text string
		wait time.Duration
		want string
	}{
		{"", 0, "one"},
		{a.issue("two"), 0, "one"},
		{a.issue("two"), rereadEvery, "two"},
		{"nonsense", rereadEvery, "two"},
		{a.issue("three"), rereadEvery, "three"},
	} {
		if step.text != "" {
			if err := os.WriteFile(path, []byte(step.text), 0o600); err != nil {
				t.Fatal(err)
			}
		}
		if ahead.Add(int64(step.wait)); name() != step.want {
			t.Errorf("the certificate is %s, want %s", name(), step.want)
		}
	}
}

// What cannot be is said when the node is opened.
func TestCertificatesThatCannotBe(t *testing.T) {
	a := newAuthority(t)
	good := a.issue("node")
	for name, test := range map[string]struct {
		settings Settings
		want     string
	}{
		"none":             {Settings{}, "set ssl.keystore.location"},
		"no file":          {Settings{"ssl.keystore.location": filepath.Join(t.TempDir(), "none")}, "ssl.keystore.location: open"},
		"no key":           {Settings{"ssl.keystore.location": a.file(a.pem)}, ".pem: read the certificate and its key"},
		"an encrypted key": {Settings{"ssl.keystore.certificate.chain": good, "ssl.keystore.key": "-----BEGIN ENCRYPTED PRIVATE KEY-----"}, "openssl pkey"},
		"nobody trusted":   {Settings{"ssl.keystore.location": a.file(good), "ssl.client.auth": "required"}, "ssl.truststore.location"},
		"nothing trusted":  {Settings{"ssl.keystore.location": a.file(good), "ssl.client.auth": "required", "ssl.truststore.certificates": "none"}, "there are none in PEM"},
		"Java's format":    {Settings{"ssl.keystore.type": "JKS"}, "want PEM"},
	} {
		t.Run(name, func(t *testing.T) {
			b, err := Open(t.TempDir(), Options{Listeners: []Listener{{Protocol: SSL, Address: "127.0.0.1:0"}}, Settings: test.settings})
			if err == nil {
				t.Fatal(b.Close())
			}
			if !strings.Contains(err.Error(), test.want) {
				t.Errorf("%v, want %s", err, test.want)
			}
		})
	}
}
