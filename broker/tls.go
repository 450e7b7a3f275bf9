package broker

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"encoding/pem"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"regexp"
	"strings"
	"sync"
	"syscall"
	"time"

	"github.com/hapaxmq/hapax/internal/vfs"
)

// certificates are what the node shows to clients, and whose it trusts. Those in
// files are read again while the node runs, so that new ones need no restart.
type certificates struct {
	fs       vfs.FS
	settings *settings
	now      func() time.Time
	logger   *slog.Logger

	mu     sync.Mutex
	read   time.Time // when the files were
	files  string    // what they held
	config *tls.Config
}

const (
	// rereadEvery is how often files of certificates are looked at, at most.
	rereadEvery = 10 * time.Second
	// maxPEM is how long such a file may be.
	maxPEM = 4 << 20
)

// loadCertificates reads those of the settings. It is nil, without an error, if
// there are none.
func loadCertificates(fs vfs.FS, s *settings, now func() time.Time, logger *slog.Logger) (*certificates, error) {
	if s.value("ssl.keystore.location") == "" && s.value("ssl.keystore.certificate.chain") == "" {
		return nil, nil
	}
	c := &certificates{fs: fs, settings: s, now: now, logger: logger}
	if err := c.load(); err != nil {
		return nil, err
	}
	return c, nil
}

// server is a configuration for TLS whose certificates are always the newest.
// Clients are asked for theirs as ssl.client.auth says, unless ask is false.
func (c *certificates) server(ask bool) *tls.Config {
	return &tls.Config{
		MinVersion: tls.VersionTLS12,
		GetConfigForClient: func(*tls.ClientHelloInfo) (*tls.Config, error) {
			current := c.current()
			if !ask && current.ClientAuth != tls.NoClientCert {
				current = current.Clone()
				current.ClientAuth = tls.NoClientCert
			}
			return current, nil
		},
	}
}

// current is the configuration by what the files hold now. What cannot be used is
// said, and changes nothing.
func (c *certificates) current() *tls.Config {
	c.mu.Lock()
	defer c.mu.Unlock()
	if now := c.now(); now.Sub(c.read) >= rereadEvery || now.Before(c.read) {
		if err := c.load(); err != nil {
			c.logger.Error("certificates: those that were read before stay in use", "error", err)
		}
	}
	return c.config
}

func (c *certificates) load() error {
	c.read = c.now()
	chain, err := c.text("ssl.keystore.certificate.chain", "ssl.keystore.location")
	if err != nil {
		return err
	}
	key, err := c.text("ssl.keystore.key", "ssl.keystore.location")
	if err != nil {
		return err
	}
	trusted, err := c.text("ssl.truststore.certificates", "ssl.truststore.location")
	if err != nil {
		return err
	}
	files := chain + "\x00" + key + "\x00" + trusted
	if c.config != nil && files == c.files {
		return nil
	}
	config, err := c.settings.tls(chain, key, trusted)
	if path := c.settings.value("ssl.keystore.location"); err != nil && path != "" {
		err = fmt.Errorf("ssl.keystore.location=%s: %w", path, err)
	}
	if err != nil {
		return err
	}
	c.config, c.files = config, files
	return nil
}

// text is PEM of a setting, or of the file that another one names.
func (c *certificates) text(inline, location string) (string, error) {
	if text := c.settings.value(inline); text != "" {
		return lines(text), nil
	}
	path := c.settings.value(location)
	if path == "" {
		return "", nil
	}
	text, err := readText(c.fs, path)
	if err != nil {
		return "", fmt.Errorf("%s: %w", location, err)
	}
	return text, nil
}

func readText(fs vfs.FS, path string) (_ string, err error) {
	f, err := fs.Open(path)
	if err != nil {
		return "", err
	}
	defer func() { err = errors.Join(err, f.Close()) }()
	size, err := f.Size()
	switch {
	case err != nil:
		return "", err
	case size > maxPEM:
		return "", fmt.Errorf("read %s: %d bytes are too many for certificates", path, size)
	}
	b := make([]byte, size)
	if _, err := f.ReadAt(b, 0); err != nil {
		return "", fmt.Errorf("read %s: %w", path, err)
	}
	return string(b), nil
}

// lines gives PEM its lines back, which it lost when it was put into one line of a
// file of settings.
func lines(text string) string {
	text = strings.ReplaceAll(text, `\n`, "\n")
	return regexp.MustCompile(`(-----BEGIN [A-Z ]+-----|-----END [A-Z ]+-----)`).ReplaceAllString(text, "\n$1\n")
}

// tls makes the configuration of the settings and texts of PEM.
func (s *settings) tls(chain, key, trusted string) (*tls.Config, error) {
	if strings.Contains(key, "ENCRYPTED") {
		return nil, errors.New("the private key is encrypted: decrypt it with openssl pkey, and keep the file from others")
	}
	own, err := tls.X509KeyPair([]byte(chain), []byte(key))
	if err != nil {
		return nil, fmt.Errorf("read the certificate and its key, as PEM: %w", err)
	}
	config := &tls.Config{Certificates: []tls.Certificate{own}, MinVersion: tls.VersionTLS12}
	versions := words(s.value("ssl.enabled.protocols"))
	if len(versions) == 1 && versions[0] == "TLSv1.3" {
		config.MinVersion = tls.VersionTLS13
	}
	if len(versions) == 1 && versions[0] == "TLSv1.2" {
		config.MaxVersion = tls.VersionTLS12
	}
	switch s.value("ssl.client.auth") {
	case "required":
		config.ClientAuth = tls.RequireAndVerifyClientCert
	case "requested":
		config.ClientAuth = tls.VerifyClientCertIfGiven
	default:
		return config, nil
	}
	if trusted == "" {
		return nil, errors.New("ssl.client.auth wants clients' certificates: say whose are trusted, in ssl.truststore.location (a file of PEM)")
	}
	config.ClientCAs = x509.NewCertPool()
	for rest := []byte(trusted); ; {
		var block *pem.Block
		if block, rest = pem.Decode(rest); block == nil {
			break
		}
		if block.Type != "CERTIFICATE" {
			continue
		}
		cert, err := x509.ParseCertificate(block.Bytes)
		if err != nil {
			return nil, fmt.Errorf("read the trusted certificates: %w", err)
		}
		config.ClientCAs.AddCert(cert)
	}
	if config.ClientCAs.Equal(x509.NewCertPool()) {
		return nil, errors.New("the trusted certificates: there are none in PEM")
	}
	return config, nil
}

// TLS is a configuration by the ssl settings, for what else the node serves; nil if
// there are none. Clients are asked for no certificate.
func (b *Broker) TLS() *tls.Config {
	if b.ports.certificates == nil {
		return nil
	}
	return b.ports.certificates.server(false)
}

// errTLS is that of a client that TLS does not let in, or that does not speak it.
var errTLS = errors.New("TLS handshake")

// secure makes a connection TLS, if its listener wants that.
func (l *listener) secure(ctx context.Context, c *conn) error {
	if l.tls == nil {
		return nil
	}
	secured := tls.Server(c.net, l.tls)
	err := secured.HandshakeContext(ctx)
	switch wrong := (tls.RecordHeaderError{}); {
	case errors.As(err, &wrong):
		return fmt.Errorf("%w: the client speaks without TLS, and the listener's protocol is with it", errTLS)
	case errors.Is(err, io.EOF) || errors.Is(err, syscall.ECONNRESET): // who only looked whether the port is open
		return fmt.Errorf("TLS handshake: %w", err)
	case err != nil:
		return fmt.Errorf("%w: %w", errTLS, err)
	}
	c.net, c.raw = secured, nil
	return nil
}
