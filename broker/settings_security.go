package broker

import (
	"math"
	"time"

	"github.com/twmb/franz-go/pkg/kmsg"
)

// secret is the type of values that nobody is shown.
const secret = kmsg.ConfigTypePassword

// nodeSecurity are the settings of who clients are and how they connect.
func nodeSecurity() []setting {
	return []setting{
		{name: "listeners", kind: list, value: "", doc: "Ports, as NAME://HOST:PORT."},
		{name: "advertised.listeners", kind: list, value: "", doc: "What clients are told to come to, as NAME://HOST:PORT for the listener of that name."},
		{name: "listener.security.protocol.map", kind: list, value: "", doc: "The protocol of each listener, as NAME:PROTOCOL. Without, a listener's name is its protocol."},
		{name: "max.connections", kind: integer, value: "2147483647", low: 0, high: most32, doc: "Connections at once; one more is closed."},
		{name: "max.connections.per.ip", kind: integer, value: "2147483647", low: 0, high: most32, doc: "Connections at once from one address; one more is closed."},
		{name: "connections.max.idle.ms", kind: long, value: "600000", low: 1, high: math.MaxInt64 / int64(time.Millisecond), doc: "How long a connection may be without a request, or take to read an answer; then it is closed."},
		{name: "connections.max.reauth.ms", kind: long, value: "0", low: 0, high: math.MaxInt64 / int64(time.Millisecond), doc: "After how long a client must log in again. 0 is never."},
		{name: "connection.failed.authentication.delay.ms", kind: integer, value: "100", low: 0, high: 10_000, doc: "How long a client waits for the answer that it failed to log in."},
		{name: "sasl.enabled.mechanisms", kind: list, value: "PLAIN,SCRAM-SHA-256,SCRAM-SHA-512", choices: mechanisms(), doc: "How clients may log in where the listener's protocol is SASL_PLAINTEXT or SASL_SSL."},
		{name: "sasl.server.max.receive.size", kind: integer, value: "524288", low: 1024, high: most32, doc: "Bytes of a request of a client that has not logged in."},
		{name: "ssl.keystore.type", kind: text32, value: pemType, choices: []string{pemType}, doc: "How the node's certificate is written."},
		{name: "ssl.keystore.location", kind: text32, value: "", doc: "A file of PEM with the node's private key, its certificate, and those between it and the authority's. It is read again as it changes."},
		{name: "ssl.keystore.certificate.chain", kind: text32, value: "", doc: "The certificates themselves, in place of a file."},
		{name: "ssl.keystore.key", kind: secret, value: "", doc: "The private key itself, in place of a file."},
		{name: "ssl.truststore.type", kind: text32, value: pemType, choices: []string{pemType}, doc: "How the trusted certificates are written."},
		{name: "ssl.truststore.location", kind: text32, value: "", doc: "A file of PEM with the authorities whose clients are let in, if ssl.client.auth asks for certificates. It is read again as it changes."},
		{name: "ssl.truststore.certificates", kind: text32, value: "", doc: "The certificates themselves, in place of a file."},
		{name: "ssl.client.auth", kind: text32, value: "none", choices: []string{"required", "requested", "none"}, doc: "Whether clients of listeners with the protocol SSL show a certificate."},
		{name: "ssl.enabled.protocols", kind: list, value: "TLSv1.2,TLSv1.3", choices: []string{"TLSv1.2", "TLSv1.3"}, doc: "The versions of TLS."},
	}
}

// pemType is the one way in which certificates are written.
const pemType = "PEM"

// takeSecurity takes over what of these is asked for often.
func (s *settings) takeSecurity() {
	s.maxConns = int(s.number("max.connections"))
	s.maxConnsPer = int(s.number("max.connections.per.ip"))
	s.maxIdle = s.duration("connections.max.idle.ms")
	s.maxReauth = s.duration("connections.max.reauth.ms")
	s.failedLoginDelay = s.duration("connection.failed.authentication.delay.ms")
	s.mechanisms = words(s.value("sasl.enabled.mechanisms"))
	s.maxToken = int(s.number("sasl.server.max.receive.size"))
}

func (s *settings) duration(name string) time.Duration {
	return time.Duration(s.number(name)) * time.Millisecond
}
